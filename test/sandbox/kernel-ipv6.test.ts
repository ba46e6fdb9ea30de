import { expect, test } from "vitest";
import { parseIfInet6 } from "../../src/observe/parse-ip";
import { inSandbox, sameSubnet } from "./scenario";

const shown =
	/^(\d+): \S+\s+inet6 (\S+)\/(\d+) scope (\w+) (.*?)\\\s+valid_lft/gm;

test("/proc/net/if_inet6 says of IPv6 addresses what ip says", () =>
	inSandbox({ enis: [sameSubnet] }, async (s) => {
		for (const words of [
			"2001:db8:1::62/64 nodad",
			"2001:db8:0:0:1::1/128 nodad",
			"2001:0:0:1::/64 nodad",
			"64:ff9b::1/96 nodad",
			"2001:db8:1::64/64 nodad valid_lft 4000 preferred_lft 2000",
			"2001:db8:9::1 peer 2001:db8:9::2/127 nodad",
		])
			await s.ip("-6", "addr", "add", ...words.split(" "), "dev", "eth1");
		const lines = [...(await s.ip("-6", "-o", "addr")).matchAll(shown)];
		const byIp = lines.map(([, index, ip, prefix, scope, flags = ""]) => ({
			...{ index: Number(index), ip, prefix: Number(prefix), scope },
			dynamic: flags.includes("dynamic"),
		}));
		const text = await s.guest(["cat", "/proc/net/if_inet6"]);
		const own = Object.entries(parseIfInet6(text.stdout)).flatMap(
			([index, list]) =>
				list.map(({ ip, prefix, scope, dynamic }) => ({
					...{ index: Number(index), ip, prefix, scope, dynamic },
				})),
		);
		const order = (one: object, other: object) =>
			JSON.stringify(one) < JSON.stringify(other) ? -1 : 1;
		const [peer, rest] = [true, false].map((isPeer) =>
			own.filter(({ ip }) => (ip === "2001:db8:9::1") === isPeer),
		);
		expect(rest?.sort(order)).toEqual(byIp.sort(order));
		expect(peer).toMatchObject([{ prefix: 127 }]);
		expect(own.length).toBeGreaterThan(7);
	}));
