/**
 * How a command that connects to nodes proves who it is, and hides what it says: the options, and what they name.
 *
 * A secret comes from a file only: what stands on a command line is read by everybody who may list processes.
 */
import type { Command } from 'commander'
import type { ClientSecurity } from '../client/client.ts'
import type { PeerRole } from '../protocol/authentication.ts'
import { TravertineError } from '../protocol/errors.ts'
import { readTlsFiles } from '../world/tls-network.ts'
import { path } from './command-line.ts'
import { readSecrets } from './node-security.ts'

export interface SecurityOptions {
  readonly secretFile?: string
  readonly tls?: boolean
  readonly ca?: string
  readonly cert?: string
  readonly certKey?: string
}

export function addSecurityOptions(command: Command): Command {
  return command
    .option('--secret-file <file>', 'file with the secret of the cluster, in the form of the one of its nodes', path)
    .option('--ca <file>', 'speak TLS: who signs the certificates of the nodes, PEM', path)
    .option('--tls', 'speak TLS with nodes whose certificates a public authority has signed')
    .option('--cert <file>', 'certificate of this client, PEM, for nodes that ask for one', path)
    .option('--cert-key <file>', 'key of that certificate, PEM', path)
}

/** @throws CONFIG_INVALID, with the file; a secret is never part of it */
export function readSecurityOptions(
  { secretFile, tls, ca, cert, certKey }: SecurityOptions,
  role: PeerRole,
): ClientSecurity {
  if ((cert === undefined) !== (certKey === undefined)) {
    const [found, expected] = cert === undefined ? ['--cert-key', '--cert'] : ['--cert', '--cert-key']
    throw new TravertineError('CONFIG_INVALID', `Cannot use TLS: found ${found} alone, expected ${expected} beside it`)
  }
  const hasTls = tls === true || ca !== undefined || cert !== undefined
  return {
    ...(secretFile === undefined ? {} : { secret: secretOf(secretFile, role) }),
    ...(hasTls ? { tls: readTlsFiles({ authorityFile: ca, certificateFile: cert, keyFile: certKey }) } : {}),
  }
}

function secretOf(file: string, role: PeerRole): string {
  const found = readSecrets(file).find(({ roles }) => roles.includes(role))
  if (found !== undefined) return found.secret
  throw new TravertineError('CONFIG_INVALID', `Cannot use a secret file: found no secret for the role ${role}`, {
    where: { file },
    hint: `a line is: roles (all, or some of reader,writer,replica,admin), blanks, secret`,
  })
}
