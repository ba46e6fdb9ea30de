import type { Link, Settings, State, StaticSource } from "../model.js";

/** The config's addresses for a link: by MAC, or by name as long as the name has the MAC it had at first use. */
export function configuredSource(
	link: Link,
	settings: Settings,
	state: State,
): StaticSource | undefined {
	const byMac = settings.interfaces[link.mac];
	if (byMac) return byMac;
	return pinnedElsewhere(link, settings, state)
		? undefined
		: settings.interfaces[link.name];
}

/** The MAC that the config's entry for this name stands for, when it is not this link's. */
export function pinnedElsewhere(
	link: Link,
	settings: Settings,
	state: State,
): string | undefined {
	if (settings.interfaces[link.mac] || !settings.interfaces[link.name])
		return undefined;
	const pinned = state.pinned[link.name];
	return pinned === link.mac ? undefined : pinned;
}
