import { it } from "vitest";
import { assign, cutPowerDuring, plug, unplug } from "./power-cuts";
import { eni } from "./scenario";

const [one, two] = [eni(1, 4), eni(2, 3)];

// The times are those of a machine under emulation, where a plug takes one to three seconds from its journal to its
// end, the others less than one.
it(
	"a power cut while NICs come and addresses are assigned",
	{
		timeout: 900_000,
	},
	() =>
		cutPowerDuring(
			[
				plug(one, 50),
				assign("eth1", "10.0.1.90", 0),
				plug(two, 150),
				assign("eth2", "10.0.3.91", 20),
				assign("eth1", "10.0.1.92", 40),
				unplug(two, 30),
				plug(two, 600),
				unplug(two, 0),
			],
			5,
		),
);
