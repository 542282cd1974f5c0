/**
 * package-lock.json has an entry for whatever one of its packages wants; otherwise `npm ci` refuses it, and with it the
 * first `npm start` of everybody. (npm itself writes such a file when a registry lacks an optional package.)
 */
export interface LockFile {
  readonly packages: Readonly<Record<string, LockedPackage>>
}

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

export function missingPackages({ packages }: LockFile): string[] {
  return Object.entries(packages).flatMap(([path, wants]) =>
    Object.keys({ ...wants.dependencies, ...wants.optionalDependencies, ...wants.devDependencies })
      .filter((name) => !foldersAbove(path).some((folder) => Object.hasOwn(packages, `${folder}node_modules/${name}`)))
      .map((name) => `${path || 'the project'} wants ${name}`),
  )
}

/** Where Node looks for what the package at `path` imports: its own folder, then each one around it. */
function foldersAbove(path: string): string[] {
  const parts = path === '' ? [] : path.split(/\/(?=node_modules\/)/)
  return parts.map((_, i) => `${parts.slice(0, parts.length - i).join('/')}/`).concat('')
}
