/** See fetch-node.mjs. */
export function fetchNode(root: string, target: string): string;
