// The package types its index only; these are the same functions.
declare module "systeminformation/lib/osinfo" {
	export { osInfo } from "systeminformation";
}
declare module "systeminformation/lib/cpu" {
	export { cpu } from "systeminformation";
}
declare module "systeminformation/lib/memory" {
	export { mem } from "systeminformation";
}
