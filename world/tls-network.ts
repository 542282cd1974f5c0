/**
 * The network door on TLS 1.2 or later: the same connections as node-network.ts, encrypted, and with a peer that is known.
 *
 * A node shows its certificate and may ask for one in return; who dials checks the name or address that it dialled against
 * the certificate, always. Nothing of the protocol changes inside. New certificates are taken over by `renew` without a
 * restart: connections that are up keep theirs. A handshake that fails or takes too long ends its connection; nobody
 * else notices.
 */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import {
  connect,
  createSecureContext,
  createServer,
  type SecureContextOptions,
  type Server,
  type TlsOptions,
} from 'node:tls'
import type { Connection, Listener, ListenPlace, Network } from '../protocol/connection.ts'
import { asError, TravertineError } from '../protocol/errors.ts'
import { HANDSHAKE_MS_MAX, SOCKET_KEEP_ALIVE_MS } from '../protocol/limits.ts'
import { ConnectionQuota } from './connection-quota.ts'
import { listenOn, NodeConnection, SOCKET_OPTIONS, serve } from './node-network.ts'

/** PEM texts. Plain data: it can be posted to other threads. */
export interface TlsMaterial {
  /** Certificate (chain) and key of this side; a client without a certificate of its own has none. */
  readonly certificate?: string | undefined
  readonly key?: string | undefined
  /** Who may sign the certificates of the other side. Without it: the authorities that Node knows. */
  readonly authority?: string | undefined
  /** A node refuses peers without a certificate that `authority` has signed. */
  readonly requireClientCertificate?: boolean | undefined
  /** What the certificate of a dialled node must say instead of the host that was dialled. */
  readonly serverName?: string | undefined
}

export interface TlsFiles {
  readonly certificateFile?: string | undefined
  readonly keyFile?: string | undefined
  readonly authorityFile?: string | undefined
}

/** @throws CONFIG_INVALID, with the file */
export function readTlsFiles(files: TlsFiles): TlsMaterial {
  const material = {
    certificate: readPem(files.certificateFile),
    key: readPem(files.keyFile),
    authority: readPem(files.authorityFile),
  }
  checkMaterial(material, files.certificateFile ?? files.authorityFile ?? '')
  return material
}

function readPem(file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw invalid(`cannot read ${file}: ${asError(cause).message}`, file, cause)
  }
}

/** @throws CONFIG_INVALID if certificate, key and authority are not PEM texts that belong together */
function checkMaterial(material: TlsMaterial, file: string): void {
  try {
    createSecureContext(contextOptions(material))
  } catch (cause) {
    throw invalid(asError(cause).message, file, cause)
  }
}

function invalid(found: string, file: string, cause: unknown): TravertineError {
  return new TravertineError('CONFIG_INVALID', `Cannot use TLS: ${found}`, {
    where: { file },
    hint: 'certificate, key and authority are PEM files; the key belongs to the certificate',
    cause,
  })
}

const contextOptions = ({ certificate, key, authority }: TlsMaterial): SecureContextOptions => ({
  ...(certificate === undefined ? {} : { cert: certificate }),
  ...(key === undefined ? {} : { key }),
  ...(authority === undefined ? {} : { ca: authority }),
  minVersion: 'TLSv1.2',
})

/** Of a server; `requireClientCertificate` holds for its whole life. */
export const serverOptions = (material: TlsMaterial): TlsOptions => {
  const isAsked = material.requireClientCertificate === true
  return {
    ...contextOptions(material),
    requestCert: isAsked,
    rejectUnauthorized: isAsked,
    handshakeTimeout: HANDSHAKE_MS_MAX,
  }
}

/** Connections from now on are shown this. */
export function renewServer(server: Server, material: TlsMaterial): void {
  server.setSecureContext(contextOptions(material))
}

export class TlsNetwork implements Network {
  #material: TlsMaterial
  readonly #servers = new Set<Server>()

  constructor(material: TlsMaterial) {
    this.#material = material
  }

  /** Connections from now on use this. `requireClientCertificate` stays as it was for listeners that are up. @throws CONFIG_INVALID */
  renew(material: TlsMaterial): void {
    checkMaterial(material, '')
    this.#material = material
    for (const server of this.#servers) renewServer(server, material)
  }

  dial(host: string, port: number): Connection {
    const { serverName } = this.#material
    const name = serverName ?? (isIP(host) === 0 ? host : undefined)
    const socket = connect({
      host,
      port,
      ...contextOptions(this.#material),
      ...(name === undefined ? {} : { servername: name }),
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, SOCKET_KEEP_ALIVE_MS)
    return new NodeConnection(socket, `${host}:${port}`, 'secureConnect')
  }

  async listen(
    at: ListenPlace,
    accept: Parameters<Network['listen']>[1],
    refuse: Parameters<Network['listen']>[2],
  ): Promise<Listener> {
    const server = createServer({ ...serverOptions(this.#material), ...SOCKET_OPTIONS })
    const quota = new ConnectionQuota(at)
    server.on('secureConnection', serve(quota, accept, refuse))
    server.on('tlsClientError', (_, socket) => socket.destroy()) // strangers and scanners: nothing to say to them
    this.#servers.add(server)
    server.once('close', () => this.#servers.delete(server))
    return listenOn(server, at, quota)
  }
}
