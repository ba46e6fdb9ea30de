/** What one request to the metadata service may take; an answer beyond it counts as none. */
export const requestLimits = { timeoutMs: 2000, maxBytes: 64 * 1024 };

/** So many requests are under way at once. */
export const maxRequests = 4;
