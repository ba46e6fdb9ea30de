// Pure modules are compiled without Node's types; the marker's hash is all they may take from it.
declare module "node:crypto" {
	export function createHash(algorithm: "sha256"): {
		update(
			text: string,
			encoding: "latin1",
		): { digest(encoding: "hex"): string };
	};
}
