/**
 * `host:port` as applications write it: `10.0.0.1:7400`, `db1.example:7400`, `[::1]:7400`.
 */
import { invalidValue } from './client-error.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s:[\]]+)):([0-9]{1,5})$/

/** @throws VALUE_INVALID */
export function parseAddress(text: string): Address {
  const match = typeof text === 'string' ? ADDRESS.exec(text) : null
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port < 1 || port > 65_535) {
    throw invalidValue(`the address ${String(text)}: expected host:port`)
  }
  return { host, port }
}

export function formatAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}
