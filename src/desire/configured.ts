import type { Link, Settings, State, StaticSource } from "../model.js";

/** The config's addresses for a link: by MAC, or by name as long as the name has the MAC it had at first use. */
export function configuredSource(
	link: Link,
	settings: Settings,
	state: State,
): StaticSource | undefined {
	const byMac = own(settings.interfaces, link.mac);
	if (byMac) return byMac;
	return pinnedElsewhere(link, settings, state)
		? undefined
		: own(settings.interfaces, link.name);
}

/** The MAC that the config's entry for this name stands for, when it is not this link's. */
export function pinnedElsewhere(
	link: Link,
	settings: Settings,
	state: State,
): string | undefined {
	const { interfaces } = settings;
	if (own(interfaces, link.mac) || !own(interfaces, link.name))
		return undefined;
	const pinned = own(state.pinned, link.name);
	return pinned === link.mac ? undefined : pinned;
}

// A NIC may be named `constructor`, and every object answers to that.
function own<T>(record: Record<string, T>, key: string): T | undefined {
	return Object.hasOwn(record, key) ? record[key] : undefined;
}
