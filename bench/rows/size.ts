import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { root } from "../../test/sandbox/paths";
import { countRow, type Part } from "../row";

const limitKib = 700;

/** All that the bundle's folder holds. */
export async function size(): Promise<Part> {
	const bytes = sizeOf(path.join(root, "dist"));
	return {
		rows: [
			countRow(
				{ what: "`dist/`", label: "dist/", node: "" },
				Math.ceil(bytes / 1024),
				limitKib,
				"KiB",
			),
		],
		notes: [],
		raw: { "dist, bytes": bytes },
	};
}

function sizeOf(folder: string): number {
	return readdirSync(folder, { withFileTypes: true })
		.map((entry) => {
			const place = path.join(folder, entry.name);
			return entry.isDirectory() ? sizeOf(place) : statSync(place).size;
		})
		.reduce((sum, one) => sum + one, 0);
}
