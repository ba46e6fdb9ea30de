/** What one machine may have by the guide's table; `addressesPerEni` counts the ENI's primary private IP. */
export interface Limits {
	enis: number;
	addressesPerEni: number;
}

/** One ENI's private IPs, as far as they are known. */
export interface EniUse {
	/** The NIC's name, or the MAC where there is no NIC. */
	name: string;
	/** Undefined where nobody says. */
	addresses: number | undefined;
}

/** How much of the table's limits is used; a number above its limit is a note, never a refusal. */
export interface Use {
	enis: { used: number; of: number };
	addresses: { used: number; of: number; perEni: number };
	source: string;
	notes: string[];
}

/** Where the numbers come from. */
export const limitsSource = 'product guide of the ENI, "Use Limits"';

// The guide's table. A row holds from so many cores on, and above so many GB. The ENIs include the
// primary: the guide calls it one of the ENIs that a CVM has, and gives a one-core machine two, which
// is the primary and one to bind.
const table = [
	{ cores: 13, aboveGiB: 0, enis: 8, addressesPerEni: 30 },
	{ cores: 8, aboveGiB: 0, enis: 6, addressesPerEni: 20 },
	{ cores: 4, aboveGiB: 16, enis: 4, addressesPerEni: 20 },
	{ cores: 4, aboveGiB: 0, enis: 4, addressesPerEni: 10 },
	{ cores: 2, aboveGiB: 0, enis: 2, addressesPerEni: 10 },
	{ cores: 1, aboveGiB: 1, enis: 2, addressesPerEni: 6 },
	{ cores: 1, aboveGiB: 0, enis: 2, addressesPerEni: 2 },
];

/**
 * The limits of a machine by its vCPUs and the memory its kernel shows, in GiB. The kernel keeps some
 * of a size's memory for itself: 1 GB shows as 0.95, 2 GB as 1.8, 16 GB as 15.5, so "more than" a size
 * is more than its full number. Where the table is silent the lower row counts, because a number too
 * high would promise what the console then refuses, and one too low costs a note: 3 cores are 2,
 * 5 to 7 are 4, and 4 cores with exactly 16 GB (the table has "< 16" and "> 16") have 10 addresses.
 */
export function limitsOf(cores: number, memoryGiB: number): Limits {
	const row = table.find(
		(one) =>
			cores >= one.cores && (one.aboveGiB === 0 || memoryGiB > one.aboveGiB),
	);
	const { enis, addressesPerEni } = row ?? { enis: 2, addressesPerEni: 2 };
	return { enis, addressesPerEni };
}

/** The use of the limits by these ENIs, the primary among them. */
export function useOf({ enis, addressesPerEni }: Limits, all: EniUse[]): Use {
	const newer = "newer sizes allow more";
	const notes = all.flatMap(({ name, addresses = 0 }) =>
		addresses > addressesPerEni
			? [
					`${name} has ${addresses} private IPs, the table gives an ENI of this size ${addressesPerEni}: ${newer}`,
				]
			: [],
	);
	if (all.length > enis)
		notes.unshift(
			`${all.length} ENIs are bound, the table gives this size ${enis}: ${newer}`,
		);
	const unknown = all.filter(({ addresses }) => addresses === undefined).length;
	if (unknown > 0)
		notes.push(
			`the private IPs of ${unknown} of the ENIs are not known, and not counted`,
		);
	return {
		enis: { used: all.length, of: enis },
		addresses: {
			used: all.reduce((sum, { addresses = 0 }) => sum + addresses, 0),
			of: enis * addressesPerEni,
			perEni: addressesPerEni,
		},
		source: limitsSource,
		notes,
	};
}
