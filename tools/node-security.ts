/** What the settings of [security] name, read from their files. */
import { readFileSync } from 'node:fs'
import type { Config } from '../config/settings.ts'
import type { NodeSecurity } from '../daemon/node.ts'
import { parseSecretFile, type SharedSecret } from '../protocol/authentication.ts'
import { asError, TravertineError } from '../protocol/errors.ts'
import { readTlsFiles } from '../world/tls-network.ts'

/** @throws CONFIG_INVALID, with the file */
export function readSecurity(settings: Config['security']): NodeSecurity {
  const { secretFile, tlsCertificateFile, tlsKeyFile, tlsAuthorityFile, tlsRequireClientCertificate, insecure } =
    settings
  const secrets = secretFile === '' ? [] : readSecrets(secretFile)
  if (tlsCertificateFile === '') {
    if (tlsKeyFile === '' && !tlsRequireClientCertificate) return { secrets, insecure }
    throw new TravertineError('CONFIG_INVALID', 'Cannot use TLS: found no security.tlsCertificateFile, expected one', {
      where: { key: 'security.tlsCertificateFile' },
      hint: 'a key, or client certificates that are required, mean that this node speaks TLS itself',
    })
  }
  const files = {
    certificateFile: tlsCertificateFile,
    keyFile: tlsKeyFile,
    authorityFile: tlsAuthorityFile || undefined,
  }
  const tls = { ...readTlsFiles(files), requireClientCertificate: tlsRequireClientCertificate }
  return { secrets, tls, insecure }
}

/** @throws CONFIG_INVALID */
export function readSecrets(file: string): SharedSecret[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new TravertineError('CONFIG_INVALID', `Cannot use a secret file: ${asError(cause).message}`, {
      where: { file },
      hint: 'is the path right, and may this process read it?',
      cause,
    })
  }
  return parseSecretFile(text, file)
}
