/**
 * Templates by their text, as Handlebars has compiled them. The build puts those that come with the agent here, see
 * packaging/precompile.mjs; where the sources run unbuilt every template is compiled when it is needed.
 */
export const precompiled: Record<string, TemplateSpecification> = {};
