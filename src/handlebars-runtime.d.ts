// What Handlebars ships for this path declares nothing.
declare module "handlebars/runtime" {
	import type Handlebars from "handlebars";

	const runtime: {
		create(): Pick<
			typeof Handlebars,
			"createFrame" | "registerHelper" | "template"
		>;
	};
	export default runtime;
}
