import { paths } from "./paths.js";
import type { SysctlSetting } from "./render.js";
import { linkSysctls } from "./sysctl-keys.js";

/**
 * Reversible edits of /etc/sysctl.conf. Text is latin1, so that a file in any encoding, with CRLF
 * or without a final newline, comes back byte for byte once our marks are taken off.
 */
const begin =
	"# eni-configure begin: `eni-configure remove` takes these lines away";
const end = "# eni-configure end";
const fileCreated = " (file created)";
const newlineAdded = " (newline added)";
const disabled = "# disabled by eni-configure: ";

/** What a later run, or a roll back, would still read of it. */
export const maxSysctlConf = 1024 * 1024;

// Of a block whose end line somebody deleted only lines that are surely ours count: what follows is the user's.
const ownLine = `net\\.ipv4\\.conf\\.[\\w-]+\\.(?:${linkSysctls.join("|")}) = \\d+\\n`;
const whole = `(?:(?:net\\.ipv4\\.conf\\.|#(?! eni-configure)).*\\n)*${escapeRegExp(end)}(?:\\n|$)`;
const block = new RegExp(
	`^${escapeRegExp(begin)}( \\([a-z ]+\\))?\\n(?:${whole}|(?:${ownLine})*)`,
	"gm",
);

/** The user's own text without our marks; undefined when there was no file before us. */
export function stripSysctlConf(
	content: string | undefined,
): string | undefined {
	const { head, tail, isOurs } = takeApart(content);
	return isOurs && head + tail === "" ? undefined : head + tail;
}

/** Our block in a text, as it stands; undefined where there is none. */
export function blockOf(content: string): string | undefined {
	const matches = [...content.matchAll(block)];
	return matches[matches.length - 1]?.[0];
}

// The user's text before and after our block; `isOurs` where the file exists because of us, or not at all.
function takeApart(content: string | undefined): {
	head: string;
	tail: string;
	isOurs: boolean;
} {
	if (content === undefined) return { head: "", tail: "", isOurs: true };
	const restored = (text: string) =>
		text.replace(new RegExp(`^${escapeRegExp(disabled)}`, "gm"), "");
	// Of several blocks (somebody copied lines about) the last one says where our place is.
	const matches = [...content.matchAll(block)];
	const last = matches[matches.length - 1];
	if (last === undefined)
		return { head: restored(content), tail: "", isOurs: false };
	const tail = content.slice(last.index + last[0].length);
	let head = content.slice(0, last.index).replace(block, "");
	if (last[1] === newlineAdded && tail === "") head = head.replace(/\n$/, "");
	return {
		head: restored(head),
		tail,
		isOurs: matches.some((match) => match[1] === fileCreated),
	};
}

/**
 * The text with our block at its end and every earlier line that says otherwise commented out.
 * `rendered` is the block's body for `settings`; no settings means our marks are gone.
 */
export function editSysctlConf(
	content: string | undefined,
	settings: SysctlSetting[],
	rendered: string,
): string | undefined {
	if (settings.length === 0) return stripSysctlConf(content);
	const wanted = new Map(
		settings.map(({ link, leaf, value }) => [`${link}/${leaf}`, value]),
	);
	// Lines behind our block are the user's last word: they stay behind it, and contradictions() names them.
	const { head, tail, isOurs } = takeApart(content);
	const lines = head.split(/(?<=\n)/).map((line) => {
		const setting = parseSysctlLine(line);
		const isOther =
			setting &&
			wanted.has(setting.key) &&
			wanted.get(setting.key) !== setting.value;
		return isOther ? disabled + line : line;
	});
	const text = lines.join("");
	const remark = isOurs
		? fileCreated
		: text !== "" && !text.endsWith("\n")
			? newlineAdded
			: "";
	const gap = remark === newlineAdded ? "\n" : "";
	return `${text}${gap}${begin}${remark}\n${rendered}${end}\n${tail}`;
}

/**
 * A text that somebody saved while we were at work, with our block as it stood in an earlier one:
 * their lines stay, ours are what they were. Undefined where there was no file, and none of their lines.
 */
export function withBlockOf(
	content: string,
	earlier: string | undefined,
): string | undefined {
	const lines = (blockOf(earlier ?? "") ?? "").split("\n").slice(1);
	const last = lines.indexOf(end);
	const own = last < 0 ? lines : lines.slice(0, last);
	const settings = own.flatMap((line): SysctlSetting[] => {
		const setting = parseSysctlLine(line);
		const [link = "", leaf = ""] = setting?.key.split("/") ?? [];
		return setting ? [{ link, leaf, value: setting.value }] : [];
	});
	const rendered = own.map((line) => `${line}\n`).join("");
	return editSysctlConf(content, settings, rendered);
}

/** Lines that come after our block, or in files read later, and set one of our keys otherwise. */
export function contradictions(
	content: string | undefined,
	laterFiles: { path: string; content: string }[],
	settings: SysctlSetting[],
): { path: string; key: string; want: string; got: string }[] {
	const places = [
		{ path: paths.sysctlConf, content: takeApart(content).tail },
		...laterFiles,
	];
	const wanted = new Map(
		settings.map(({ link, leaf, value }) => [`${link}/${leaf}`, value]),
	);
	return places.flatMap(({ path, content: text }) => {
		// The last line for a key is the one that counts.
		const last = new Map<string, string>();
		for (const line of text.split("\n")) {
			const setting = parseSysctlLine(line);
			if (setting && wanted.has(setting.key))
				last.set(setting.key, setting.value);
		}
		return [...last].flatMap(([key, got]) => {
			const want = wanted.get(key);
			return want === undefined || want === got
				? []
				: [{ path, key: `net.ipv4.conf.${key.replace("/", ".")}`, want, got }];
		});
	});
}

// `net.ipv4.conf.eth1.rp_filter = 1` or `net/ipv4/conf/eth1/rp_filter=1`, with a leading dash or not.
function parseSysctlLine(
	line: string,
): { key: string; value: string } | undefined {
	const match =
		/^\s*(?:-\s*)?net[./]ipv4[./]conf[./]([A-Za-z0-9_-]+)[./]([a-z_]+)\s*=\s*(\S+)\s*$/.exec(
			line,
		);
	return match
		? { key: `${match[1]}/${match[2]}`, value: match[3] ?? "" }
		: undefined;
}

function escapeRegExp(text: string): string {
	return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
