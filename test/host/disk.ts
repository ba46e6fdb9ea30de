import { createFsFromVolume, Volume } from "memfs";

/** Who may do what with a file; memfs would check these against the user who runs the tests. */
export interface Attributes {
	mode: number;
	uid: number;
	gid: number;
	/** The type of its SELinux label. */
	label: string;
}

export interface FileOnDisk extends Attributes {
	/** Bytes as latin1. */
	content: string;
}

/**
 * What a power cut takes: bytes of files, names in directories, each as far as it was not fsynced. `some` names: every
 * other one of a directory, as nothing says in which order they reach the disk.
 */
export interface Loss {
	bytes: "lost" | "kept";
	entries: "lost" | "some" | "kept";
}

export type Memory = ReturnType<typeof createFsFromVolume>;

export interface Disk {
	fs: Memory;
	read(path: string): FileOnDisk | undefined;
	write(path: string, content: string, attributes?: Partial<Attributes>): void;
	attributesOf(path: string): Attributes;
	setAttributes(path: string, attributes: Partial<Attributes>): void;
	/** A file was made at path: not the one that may have had the name, or the inode, before. */
	created(path: string, mode: number): void;
	/** An fsync of the file or directory at path. */
	synced(path: string): void;
	/** All that is there survives a power cut from now on. */
	syncAll(): void;
	/** All that a power cut would leave, as text to compare. */
	survivors(loss: Loss): string;
	/** A power cut: what was not fsynced may be gone. */
	lose(loss: Loss): void;
	/** `restorecon`: the label that the policy has for a file. */
	relabel(path: string): void;
	/** Paths of all files below a directory, sorted. */
	list(directory: string): string[];
}

interface Image {
	/** Bytes and attributes by file. */
	files: Map<number, FileOnDisk>;
	/** Names in each directory: the id of a file, or undefined for a directory. */
	directories: Map<string, Map<string, number | undefined>>;
}

// Kernel files and /run are made anew at every boot.
const isVolatile = (path: string) => /^\/(proc|sys|run)(\/|$)/.test(path);
const join = (directory: string, name: string) =>
	`${directory === "/" ? "" : directory}/${name}`;
const defaults = { mode: 0o644, uid: 0, gid: 0, label: "unlabeled_t" };

/** The label a file gets from its directory, and the one that CentOS 7's policy (restorecon) gives it. */
export function labelOf(path: string, by: "directory" | "policy"): string {
	if (by === "policy" && path === "/etc/sysctl.conf") return "system_conf_t";
	const types: Record<string, string> = {
		"/etc/sysconfig/network-scripts": "net_conf_t",
		"/var/lib": "var_lib_t",
		"/etc": "etc_t",
	};
	const directory = Object.keys(types).find((one) =>
		path.startsWith(`${one}/`),
	);
	return types[directory ?? ""] ?? "default_t";
}

type Names = Map<string, number | undefined>;

/** One name from the one directory, the next from the other. */
function everyOther(one: Names, other: Names): Names {
	const names = [...new Set([...one.keys(), ...other.keys()])].sort();
	return new Map(
		names.flatMap((name, at) => {
			const from = at % 2 === 0 ? one : other;
			return from.has(name) ? [[name, from.get(name)]] : [];
		}),
	);
}

/** A memfs volume that knows owners, and what of it would survive a power cut. */
export function createDisk(): Disk {
	const fs = createFsFromVolume(new Volume());
	const attributes = new Map<number, Attributes>();
	// memfs may use an inode number again, so files have ids of their own.
	const ids = new Map<number, number>();
	let lastId = 0;
	let image: Image = { files: new Map(), directories: new Map() };

	const inodeOf = (path: string) => Number(fs.statSync(path).ino);
	const isDirectory = (path: string) =>
		fs.existsSync(path) && fs.statSync(path).isDirectory();
	const namesIn = (path: string) =>
		(fs.readdirSync(path) as string[]).filter(
			(name) => !isVolatile(join(path, name)),
		);

	function idOf(path: string): number {
		const inode = inodeOf(path);
		const id = ids.get(inode) ?? ++lastId;
		ids.set(inode, id);
		return id;
	}

	function attributesOf(path: string): Attributes {
		const usual = isDirectory(path) ? { ...defaults, mode: 0o755 } : defaults;
		return attributes.get(inodeOf(path)) ?? usual;
	}

	function read(path: string): FileOnDisk | undefined {
		if (!fs.existsSync(path) || isDirectory(path)) return undefined;
		return {
			content: (fs.readFileSync(path) as Buffer).toString("latin1"),
			...attributesOf(path),
		};
	}

	function created(path: string, mode: number): void {
		const inode = inodeOf(path);
		ids.set(inode, ++lastId);
		const label = labelOf(path, "directory");
		attributes.set(inode, { ...defaults, mode: mode & ~0o022, label });
	}

	function write(
		path: string,
		content: string,
		given: Partial<Attributes> = {},
	): void {
		const isNew = !fs.existsSync(path);
		fs.mkdirSync(path.slice(0, path.lastIndexOf("/")) || "/", {
			recursive: true,
		});
		fs.writeFileSync(path, Buffer.from(content, "latin1"));
		if (isNew) {
			created(path, 0o644);
			setAttributes(path, { label: labelOf(path, "policy") });
		}
		setAttributes(path, given);
	}

	function setAttributes(path: string, given: Partial<Attributes>): void {
		attributes.set(inodeOf(path), { ...attributesOf(path), ...given });
	}

	function synced(path: string): void {
		if (isDirectory(path)) image.directories.set(path, entriesOf(path));
		else {
			const file = read(path);
			if (file) image.files.set(idOf(path), file);
		}
	}

	function entriesOf(path: string): Map<string, number | undefined> {
		return new Map(
			namesIn(path).map((name) => [
				name,
				isDirectory(join(path, name)) ? undefined : idOf(join(path, name)),
			]),
		);
	}

	function walk(path: string, visit: (path: string) => void): void {
		visit(path);
		if (isDirectory(path))
			for (const name of namesIn(path)) walk(join(path, name), visit);
	}

	function imageAfter({ bytes, entries }: Loss): Image {
		const now: Image = { files: new Map(), directories: new Map() };
		walk("/", (path) => {
			if (isDirectory(path)) now.directories.set(path, entriesOf(path));
			else now.files.set(idOf(path), read(path) as FileOnDisk);
		});
		const files =
			bytes === "lost" ? image.files : new Map([...image.files, ...now.files]);
		if (entries === "lost") return { files, directories: image.directories };
		if (entries === "kept") return { files, directories: now.directories };
		const directories = new Map(
			[...now.directories].map(([path, names]) => [
				path,
				everyOther(names, image.directories.get(path) ?? new Map()),
			]),
		);
		return { files, directories };
	}

	function survivors(loss: Loss): string {
		const { files, directories } = imageAfter(loss);
		return JSON.stringify(
			[...directories].map(([directory, names]) => [
				directory,
				[...names].map(([name, id]) => [
					name,
					id === undefined ? id : files.get(id),
				]),
			]),
		);
	}

	function lose(loss: Loss): void {
		const { files, directories } = imageAfter(loss);
		for (const name of namesIn("/"))
			fs.rmSync(join("/", name), { recursive: true, force: true });
		const restore = (directory: string) => {
			fs.mkdirSync(directory, { recursive: true });
			for (const [name, id] of directories.get(directory) ?? []) {
				const path = join(directory, name);
				if (id === undefined) restore(path);
				else {
					// The name is there and the bytes never arrived: the empty file of many a bug report.
					const file = files.get(id) ?? { ...defaults, content: "" };
					write(path, file.content, file);
				}
			}
		};
		restore("/");
		syncAll();
	}

	function syncAll(): void {
		image = { files: new Map(), directories: new Map() };
		walk("/", synced);
	}

	return {
		fs,
		read,
		write,
		attributesOf,
		setAttributes,
		created,
		synced,
		syncAll,
		survivors,
		lose,
		relabel: (path) => setAttributes(path, { label: labelOf(path, "policy") }),
		list: (directory) => {
			const found: string[] = [];
			if (fs.existsSync(directory))
				walk(directory, (path) => !isDirectory(path) && found.push(path));
			return found.sort();
		},
	};
}
