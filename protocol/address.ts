/** host:port, as members, masters and clients are named: `10.0.0.2:7400`, `db.example:7400`, `[::1]:7400`. */

/** The longest host name has 253 characters; brackets, colon and port are eight more. */
export const ADDRESS_CHARS_LIMIT = 261

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/

export const joinAddress = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`

/** Host, without brackets, and port; undefined for a text that is no address. */
export function splitAddress(address: string): readonly [string, number] | undefined {
  if (address.length > ADDRESS_CHARS_LIMIT) return undefined
  const match = ADDRESS.exec(address)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host !== undefined && port >= 1 && port <= 65_535 ? [host, port] : undefined
}
