// The shapes of members in Redis, as shared/members.lua makes and describes them: the only TypeScript that reads them. Pure.

/** The receipt of a delivery, which is its member of `held`, from its member of `leases`. */
export const receiptOfLease = (lease: string): string =>
  `${lease.slice(25, 41)}:${lease.slice(0, 24)}${lease.slice(41)}`;

/** As a regular expression: the start of a member that no other member has; of a stream, an id. */
export const UNIQUE_PART = {
  leases: String.raw`[\d-]{24}:\d{16}`,
  backed: String.raw`[\d-]{24}`,
  delayed: String.raw`\d{16}`,
  stream: String.raw`\d{1,19}-\d{1,19}`,
} as const;
