/** Stands for the sources that this agent was built from: the build puts a digest of them here. */
export const build = "unbuilt";
