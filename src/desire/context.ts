import type {
	Link,
	Managed,
	Note,
	Observed,
	Request,
	Settings,
	Source,
} from "../model.js";

import type { Places } from "./places.js";

/** Everything a decision about one link may look at. */
export interface Context {
	observed: Observed;
	request: Request;
	settings: Settings;
	recorded: Managed[];
	primaries: Link[];
	places: Places;
	notes: Note[];
	taken: number[];
}

/** The addresses chosen for a link, and where they came from. */
export interface Address {
	addresses: string[];
	gateway: string;
	source: Source;
}
