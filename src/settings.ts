import { AgentError } from "./errors.js";
import type { Restart, Routing, RpFilter, Settings } from "./model.js";
import { defaultMetadataUrls } from "./observe/metadata.js";
import { quote } from "./quote.js";

/** Settings as they may come from one place; undefined means that place is silent. */
export interface PartialSettings {
	metadataUrl?: string | undefined;
	backend?: string | undefined;
	restart?: string | undefined;
	routing?: string | undefined;
	rpFilter?: string | number | undefined;
	exclude?: Partial<Settings["exclude"]> | undefined;
	interfaces?: Settings["interfaces"] | undefined;
	managePrimary?: boolean | undefined;
	resyncSeconds?: number | undefined;
}

/** Names for error messages of where a value came from, such as `--restart` or `ENI_CONFIGURE_RESTART`. */
export type NameOf = (key: keyof PartialSettings) => string;

/** Flags win over the environment, which wins over the config; each value is checked where it came from. */
export function mergeSettings(
	places: { values: PartialSettings; nameOf: NameOf }[],
): Settings {
	const pick = <T>(
		key: keyof PartialSettings,
		check: (value: unknown, name: string) => T,
		fallback: T,
	): T => {
		const place = places.find(({ values }) => values[key] !== undefined);
		return place ? check(place.values[key], place.nameOf(key)) : fallback;
	};
	const exclude = places
		.map(({ values }) => values.exclude)
		.find((value) => value !== undefined);
	return {
		metadataUrls: pick(
			"metadataUrl",
			(value, name) => [checkUrl(String(value), name)],
			defaultMetadataUrls,
		),
		backend: pick(
			"backend",
			oneOf<Settings["backend"]>("auto", "initscripts"),
			"auto",
		),
		restart: pick(
			"restart",
			oneOf<Restart>("auto", "interface", "service", "none"),
			"auto",
		),
		routing: pick("routing", oneOf<Routing>("policy", "none"), "policy"),
		rpFilter: Number(
			pick(
				"rpFilter",
				(value, name) => oneOf("0", "1", "2")(String(value), name),
				"0",
			),
		) as RpFilter,
		exclude: {
			names: exclude?.names ?? [],
			macs: (exclude?.macs ?? []).map((mac) => mac.toLowerCase()),
			drivers: exclude?.drivers ?? [],
		},
		interfaces:
			places
				.map(({ values }) => values.interfaces)
				.find((value) => value !== undefined) ?? {},
		managePrimary: pick("managePrimary", (value) => value === true, false),
		resyncSeconds: pick("resyncSeconds", Number, 60),
	};
}

function oneOf<T extends string>(...values: T[]) {
	return (value: unknown, name: string): T => {
		const found = values.find((one) => one === value);
		if (found === undefined)
			throw new AgentError(
				"usage",
				`${name}: ${quote(String(value))} is not one of ${values.join(", ")}`,
			);
		return found;
	};
}

function checkUrl(value: string, name: string): string {
	const isPlain =
		/^http:\/\/[A-Za-z0-9.-]+(:\d{1,5})?(\/[A-Za-z0-9._~/-]*)?$/.test(value);
	if (!isPlain)
		throw new AgentError(
			"usage",
			`${name}: ${quote(value)} is not a plain http:// address, such as ${defaultMetadataUrls[0]}`,
		);
	return value.replace(/\/+$/, "");
}
