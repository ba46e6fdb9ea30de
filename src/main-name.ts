/** The file beside the bundle of this one that has src/main.ts: the build puts its name here, with a digest of what is in it. */
export const mainName = "main.cjs";
