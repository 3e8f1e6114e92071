import type { Vm } from '../../model/vm.js';
import type { VmRecords } from '../../vm/vm-records.js';
import type { Database } from './database.js';
import type { GroupCommit } from './group-commit.js';
import { sealed, unsealed } from './sealed-json.js';

/** Records of machines in SQLite. */
export class SqliteVmRecords implements VmRecords {
  constructor(
    private readonly commits: GroupCommit,
    private readonly db: Database,
  ) {}

  put(vm: Vm): Promise<void> {
    const sql =
      'INSERT INTO vms (name, record) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET record = excluded.record';
    return this.commits.write(() => void this.db.run(sql, vm.name, sealed(vm)));
  }

  remove(name: string): Promise<void> {
    return this.commits.write(() => void this.db.run('DELETE FROM vms WHERE name = ?', name));
  }

  list(): Promise<readonly Vm[]> {
    const sql = 'SELECT record FROM vms ORDER BY name';
    return this.commits.read(() =>
      this.db.all<{ record: string }>(sql).map((row) => unsealed<Vm>(row.record)),
    );
  }
}
