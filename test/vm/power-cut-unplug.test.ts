import { it } from "vitest";
import { cutPowerDuring, plug, unplug } from "./power-cuts";
import { eni } from "./scenario";

// The first stays, so that the kernel gives the second the same name each time.
const [one, two] = [eni(1), eni(2, 3)];

it(
	"a power cut while NICs go, come back, and are removed by hand",
	{
		timeout: 900_000,
	},
	() =>
		cutPowerDuring(
			[
				plug(one, 800),
				plug(two, 250),
				unplug(two, 30),
				plug(two, 400),
				{
					what: "remove by hand",
					inside: "systemd-run --quiet --collect eni-configure remove eth2",
					waitMs: 50,
					afterwards: "eni-configure eth2",
				},
				unplug(two, 0),
				plug(two, 100),
				unplug(two, 60),
			],
			5,
		),
);
