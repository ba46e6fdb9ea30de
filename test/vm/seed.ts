import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";

/** What cloud-init's NoCloud datasource finds; text of each file. */
export interface Seed {
	"meta-data": string;
	"user-data": string;
	"network-config"?: string;
}

/**
 * Runs body with a disk image on which cloud-init's NoCloud looks for its data: ISO 9660 by the name of cidata.
 * @see cloud-init's documentation of NoCloud, "Drive with labeled filesystem"
 */
export async function withSeed(
	seed: Seed,
	body: (image: string) => Promise<void>,
): Promise<void> {
	const folder = await mkdtemp(join(tmpdir(), "eni-configure-seed-"));
	try {
		for (const [name, text] of Object.entries(seed))
			await writeFile(join(folder, name), text);
		const image = join(folder, "seed.iso");
		await execa("bsdtar", [
			...["-cf", image, "--format", "iso9660"],
			...["--options", "volume-id=cidata", "-C", folder],
			...Object.keys(seed),
		]);
		await body(image);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}
