internal import Foundation
internal import GRDB
internal import HTTPCaching
internal import HTTPFields
internal import NIOCore

/// The index: one row for each response on disk, and the bodies of the small ones.
///
/// A row bears a checksum over everything that is served from it, so that SQLite's own pages need no trust.
enum DiskIndex {
    /// Raised with every change of the tables or of what the columns mean: an index of another version is made anew.
    static let version = 3

    /// Opens the index, and makes it if it is not there.
    ///
    /// - Throws: what GRDB throws; `WrongVersion` if another version of this program made it.
    static func open(_ path: String, readers: Int) throws -> DatabasePool {
        var configuration = Configuration()
        configuration.label = "latchstring.cache"
        configuration.maximumReaderCount = readers
        // Another process can't have it, so there is nothing to wait for but our own checkpoints.
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA cache_size = -2000; PRAGMA journal_size_limit = 16777216")
        }
        let pool = try DatabasePool(path: path, configuration: configuration)
        try pool.write { database in
            let found: Int = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
            if found == 0, try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_master") ?? 0 == 0 {
                try database.execute(sql: Self.schema)
                try database.execute(sql: "PRAGMA user_version = \(Self.version)")
            } else if found != Self.version {
                throw WrongVersion(found: found)
            }
        }
        return pool
    }

    struct WrongVersion: Error, CustomStringConvertible {
        var found: Int
        var description: String { "its version is \(self.found), and \(DiskIndex.version) is wanted" }
    }

    // entry: `id` is also the body file's name; `hash` is KeyFilter's; `variant` a hash of what Vary selected by; `stale`
    // and `invalidated` what purges left, `marks` their checksum; `queue` 0 small, 1 main; `turn` the order within it; `file` 0 if the body is in `body`.
    private static let schema = """
        CREATE TABLE entry (
            id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, site TEXT NOT NULL, uri TEXT NOT NULL,
            variant BLOB NOT NULL, metadata BLOB NOT NULL, sums BLOB NOT NULL, length INTEGER NOT NULL,
            cost INTEGER NOT NULL, file INTEGER NOT NULL, stale INTEGER, invalidated INTEGER NOT NULL DEFAULT 0,
            marks BLOB NOT NULL,
            queue INTEGER NOT NULL DEFAULT 0, turn INTEGER NOT NULL, uses INTEGER NOT NULL DEFAULT 0,
            checksum BLOB NOT NULL
        );
        CREATE INDEX entry_hash ON entry (hash);
        CREATE INDEX entry_turn ON entry (queue, turn);
        CREATE INDEX entry_site ON entry (site, queue, turn);
        CREATE TABLE body (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
        CREATE TABLE tag (tag TEXT NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (tag, entry)) WITHOUT ROWID;
        CREATE INDEX tag_entry ON tag (entry);
        """

    // MARK: reading

    /// A row as it is read, not judged yet.
    struct StoredRow {
        var id: Int64
        var key: CacheKey
        var metadata: Data
        var sums: Data
        var length: Int
        var cost: Int
        var isFile: Bool
        var marks: PurgeMarks
        /// Of `marks`.
        var marksChecksum: Data
        var isMain: Bool
        var uses: Int
        var checksum: Data
        /// Of a body that stands in the index.
        var body: Data?

        /// The metadata with the marks of soft purges, if the row is what was written.
        ///
        /// - Throws: `DiskBody.Damage` or `StoredResponseError`.
        func response() throws -> StoredResponse {
            let expected: Data = DiskIndex.checksum(
                id: self.id, key: self.key, metadata: self.metadata, sums: self.sums, length: self.length)
            guard expected == self.checksum, self.length >= 0 else {
                throw DiskBody.Damage(description: "the row does not have its checksum")
            }
            guard self.marksChecksum == DiskIndex.checksum(id: self.id, self.marks) else {
                throw DiskBody.Damage(description: "what purges left on the row does not have its checksum")
            }
            return self.marks.applied(to: try StoredResponse(decoding: ByteBuffer(bytes: self.metadata)))
        }
    }

    /// The rows of a key, newest first.
    static func rows(of key: CacheKey, hash: UInt64, _ database: Database) throws -> [StoredRow] {
        let statement: Statement = try database.cachedStatement(
            sql: """
                SELECT entry.id, metadata, sums, length, cost, file, stale, invalidated, queue, uses, checksum,
                body.bytes, marks
                FROM entry LEFT JOIN body ON body.id = entry.id
                WHERE hash = ? AND site = ? AND uri = ? ORDER BY entry.id DESC LIMIT \(DiskLimits.variantsPerKey)
                """)
        return try Row.fetchAll(
            statement, arguments: [Int64(bitPattern: hash), key.site, key.uri]
        ).compactMap { row in
            // A corrupted page may hold anything in any column.
            guard let id = Int64.fromDatabaseValue(row[0]), let metadata = Data.fromDatabaseValue(row[1]),
                let sums = Data.fromDatabaseValue(row[2]), let length = Int.fromDatabaseValue(row[3]),
                let checksum = Data.fromDatabaseValue(row[10]), let marksChecksum = Data.fromDatabaseValue(row[12])
            else { return nil }
            return StoredRow(
                id: id, key: key, metadata: metadata, sums: sums, length: length,
                cost: Int.fromDatabaseValue(row[4]) ?? 0, isFile: Int.fromDatabaseValue(row[5]) != 0,
                marks: PurgeMarks(
                    staleAt: Int64.fromDatabaseValue(row[6]), isInvalidated: Int.fromDatabaseValue(row[7]) != 0),
                marksChecksum: marksChecksum,
                isMain: Int.fromDatabaseValue(row[8]) == 1, uses: Int.fromDatabaseValue(row[9]) ?? 0,
                checksum: checksum, body: Data.fromDatabaseValue(row[11]))
        }
    }

    static func checksum(id: Int64, key: CacheKey, metadata: Data, sums: Data, length: Int) -> Data {
        var content = Data()
        content.reserveCapacity(metadata.count + sums.count + key.uri.utf8.count + 64)
        withUnsafeBytes(of: id.bigEndian) { content.append(contentsOf: $0) }
        withUnsafeBytes(of: Int64(length).bigEndian) { content.append(contentsOf: $0) }
        for part in [Data(key.site.utf8), Data(key.uri.utf8), metadata, sums] {
            withUnsafeBytes(of: UInt32(truncatingIfNeeded: part.count).bigEndian) { content.append(contentsOf: $0) }
            content.append(part)
        }
        return BlockSums.sum(of: content)
    }

    /// Of what purges left on a row. Apart from the row's own, so that a purge needs to read no metadata.
    static func checksum(id: Int64, _ marks: PurgeMarks) -> Data {
        var content = Data("marks".utf8)
        for number in [id, marks.staleAt ?? 0, marks.staleAt == nil ? 0 : 1, marks.isInvalidated ? 1 : 0] {
            withUnsafeBytes(of: number.bigEndian) { content.append(contentsOf: $0) }
        }
        return BlockSums.sum(of: content)
    }

    /// What tells variants apart, cut to 16 bytes.
    static func variant(_ key: VariantKey) -> Data {
        var content = Data()
        for selector in key.selectors {
            content.append(contentsOf: selector.name.bytes)
            content.append(0)
            if let value = selector.value {
                content.append(1)
                withUnsafeBytes(of: UInt32(truncatingIfNeeded: value.count)) { content.append(contentsOf: $0) }
                content.append(contentsOf: value)
            }
            content.append(0)
        }
        return BlockSums.sum(of: content)
    }

    static func holds(_ id: Int64, _ database: Database) throws -> Bool {
        let statement: Statement = try database.cachedStatement(sql: "SELECT 1 FROM entry WHERE id = ?")
        return try Int.fetchOne(statement, arguments: [id]) != nil
    }

    // MARK: at the start

    /// What the index holds, read without any body.
    static func inventory(_ database: Database) throws -> (hashes: [UInt64], usage: DiskUsage) {
        let count: Int = try Int.fetchOne(database, sql: "SELECT count(*) FROM entry") ?? 0
        var hashes: [UInt64] = []
        hashes.reserveCapacity(count)
        let cursor: FastDatabaseValueCursor<Int64> = try Int64.fetchCursor(database, sql: "SELECT hash FROM entry")
        while let hash = try cursor.next() { hashes.append(UInt64(bitPattern: hash)) }
        var usage = DiskUsage()
        usage.entries = hashes.count
        let rows: [Row] = try Row.fetchAll(
            database, sql: "SELECT site, queue, sum(cost), count(*), max(turn) FROM entry GROUP BY site, queue")
        for row in rows {
            let site: String = String.fromDatabaseValue(row[0]) ?? ""
            let cost: Int = DiskUsage.plausible(row[2])
            usage.add(cost, isMain: Int.fromDatabaseValue(row[1]) == 1, site: site)
            usage.nextTurn = max(usage.nextTurn, (Int64.fromDatabaseValue(row[4]) ?? 0) &+ 1)
        }
        usage.largestID = try Int64.fetchOne(database, sql: "SELECT max(id) FROM entry") ?? 0
        return (hashes, usage)
    }
}

/// What the disk holds, in bytes as `DiskLimits.cost` counts them. Never below zero, whatever a damaged index says.
struct DiskUsage {
    struct Share {
        /// Both queues together, and the small one.
        var bytes = 0
        var smallBytes = 0
    }

    private(set) var whole = Share()
    private(set) var sites: [String: Share] = [:]
    var entries = 0
    var nextTurn: Int64 = 1
    var largestID: Int64 = 0

    /// A number of bytes as a damaged index may have it: cut to what a million of them can't overflow.
    static func plausible(_ value: DatabaseValue) -> Int {
        min(max(Int.fromDatabaseValue(value) ?? 0, 0), 1 << 42)
    }

    func share(of site: String) -> Share { self.sites[site] ?? Share() }

    mutating func add(_ cost: Int, isMain: Bool, site: String) {
        self.whole.bytes += cost
        self.sites[site, default: Share()].bytes += cost
        if !isMain {
            self.whole.smallBytes += cost
            self.sites[site, default: Share()].smallBytes += cost
        }
    }

    mutating func remove(_ cost: Int, isMain: Bool, site: String) {
        var share: Share = self.share(of: site)
        self.whole.bytes = max(self.whole.bytes - cost, 0)
        share.bytes = max(share.bytes - cost, 0)
        if !isMain {
            self.whole.smallBytes = max(self.whole.smallBytes - cost, 0)
            share.smallBytes = max(share.smallBytes - cost, 0)
        }
        self.sites[site] = share.bytes > 0 ? share : nil
    }
}
