internal import Foundation
internal import GRDB
internal import HTTPCaching

/// A row to be written.
struct NewRow: Sendable {
    var id: Int64
    var key: CacheKey
    var hash: UInt64
    var variant: Data
    var metadata: Data
    var sums: Data
    var length: Int
    var tags: [String]
    /// The body, if it stands in the index.
    var body: Data?

    var cost: Int { DiskLimits.cost(length: self.length, metadata: self.metadata.count, uri: self.key.uri.utf8.count) }
}

/// The changes of one transaction: to the rows, to the books, and what is to be done once it is committed.
///
/// Eviction follows the memory store's order, S3-FIFO without ghosts: a small queue of a tenth of the bytes, from which
/// what was used moves on to the main one, where what was used gets another round. Uses are those that the disk served,
/// and those for which the memory store kept an entry.
struct DiskChanges {
    private let limits: DiskLimits
    var usage: DiskUsage
    /// Keys that have one row more, or less.
    private(set) var added: [UInt64] = []
    private(set) var removed: [UInt64] = []
    /// Body files that no row names any more.
    private(set) var files: [Int64] = []
    /// Whether all rows that were there before are gone. Their files are not in `files`.
    private(set) var isWiped = false
    private(set) var evictions = 0
    private(set) var insertions = 0

    init(limits: DiskLimits, usage: DiskUsage) {
        self.limits = limits
        self.usage = usage
    }

    /// What the books need to know of a row.
    private struct Place {
        var id: Int64
        var hash: UInt64
        var cost: Int
        var site: String
        var isMain: Bool
        var isFile: Bool
        var uses: Int
        var marks: PurgeMarks
        private var marksChecksum: Data

        static let columns = "id, hash, cost, site, queue, file, uses, stale, invalidated, marks"
        /// The place of what comes behind them.
        static let columnCount = 10

        init?(_ row: Row) {
            guard let id = Int64.fromDatabaseValue(row[0]) else { return nil }
            self.id = id
            self.hash = UInt64(bitPattern: Int64.fromDatabaseValue(row[1]) ?? 0)
            self.cost = DiskUsage.plausible(row[2])
            self.site = String.fromDatabaseValue(row[3]) ?? ""
            self.isMain = Int.fromDatabaseValue(row[4]) == 1
            self.isFile = Int.fromDatabaseValue(row[5]) != 0
            self.uses = min(max(Int.fromDatabaseValue(row[6]) ?? 0, 0), 3)
            self.marks = PurgeMarks(
                staleAt: Int64.fromDatabaseValue(row[7]), isInvalidated: Int.fromDatabaseValue(row[8]) != 0)
            self.marksChecksum = Data.fromDatabaseValue(row[9]) ?? Data()
        }

        var hasRightMarks: Bool { self.marksChecksum == DiskIndex.checksum(id: self.id, self.marks) }
    }

    // MARK: rows

    /// Writes a row in the place of those it supersedes.
    ///
    /// - Returns: whether there was room for it.
    mutating func insert(_ row: NewRow, _ database: Database) throws -> Bool {
        let hash = Int64(bitPattern: row.hash)
        let superseded: [Row] = try Row.fetchAll(
            database.cachedStatement(
                sql: "SELECT \(Place.columns) FROM entry WHERE hash = ? AND site = ? AND uri = ? AND variant = ?"),
            arguments: [hash, row.key.site, row.key.uri, row.variant])
        try self.delete(superseded, database)
        let siblings: [Row] = try Row.fetchAll(
            database.cachedStatement(
                sql: """
                    SELECT \(Place.columns) FROM entry WHERE hash = ? AND site = ? AND uri = ?
                    ORDER BY id DESC LIMIT -1 OFFSET \(DiskLimits.variantsPerKey - 1)
                    """),
            arguments: [hash, row.key.site, row.key.uri])
        try self.delete(siblings, database)
        guard try self.makeRoom(for: row.cost, site: row.key.site, database) else { return false }

        let checksum: Data = DiskIndex.checksum(
            id: row.id, key: row.key, metadata: row.metadata, sums: row.sums, length: row.length)
        try database.cachedStatement(
            sql: """
                INSERT INTO entry
                (id, hash, site, uri, variant, metadata, sums, length, cost, file, turn, marks, checksum)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            row.id, hash, row.key.site, row.key.uri, row.variant, row.metadata, row.sums, row.length, row.cost,
            row.body == nil ? 1 : 0, self.takeTurn(), DiskIndex.checksum(id: row.id, PurgeMarks()), checksum,
        ])
        if let body = row.body {
            try database.cachedStatement(sql: "INSERT INTO body (id, bytes) VALUES (?, ?)")
                .execute(arguments: [row.id, body])
        }
        try self.writeTags(row.tags, id: row.id, database)
        self.usage.add(row.cost, isMain: false, site: row.key.site)
        self.usage.entries += 1
        self.added.append(row.hash)
        self.insertions += 1
        return true
    }

    /// Puts metadata in the place of a row's: what a revalidation brought. Marks of soft purges go.
    func refresh(
        _ id: Int64, _ key: CacheKey, variant: Data, metadata: Data, tags: [String], _ database: Database
    ) throws {
        guard
            let row = try Row.fetchOne(
                database.cachedStatement(sql: "SELECT sums, length FROM entry WHERE id = ? AND site = ? AND uri = ?"),
                arguments: [id, key.site, key.uri]),
            let sums = Data.fromDatabaseValue(row[0]), let length = Int.fromDatabaseValue(row[1])
        else { return }
        let checksum: Data = DiskIndex.checksum(id: id, key: key, metadata: metadata, sums: sums, length: length)
        try database.cachedStatement(
            sql: """
                UPDATE entry SET variant = ?, metadata = ?, stale = NULL, invalidated = 0, marks = ?, checksum = ?
                WHERE id = ?
                """
        )
        .execute(arguments: [variant, metadata, DiskIndex.checksum(id: id, PurgeMarks()), checksum, id])
        try database.cachedStatement(sql: "DELETE FROM tag WHERE entry = ?").execute(arguments: [id])
        try self.writeTags(tags, id: id, database)
    }

    mutating func forget(_ id: Int64, _ database: Database) throws {
        try self.delete(
            Row.fetchAll(
                database.cachedStatement(sql: "SELECT \(Place.columns) FROM entry WHERE id = ?"), arguments: [id]),
            database)
    }

    func noteUse(_ id: Int64, _ database: Database) throws {
        try database.cachedStatement(sql: "UPDATE entry SET uses = min(uses + 1, 3) WHERE id = ?")
            .execute(arguments: [id])
    }

    private func writeTags(_ tags: [String], id: Int64, _ database: Database) throws {
        for tag in tags {
            try database.cachedStatement(sql: "INSERT OR IGNORE INTO tag (tag, entry) VALUES (?, ?)")
                .execute(arguments: [tag, id])
        }
    }

    // MARK: purging

    /// - Returns: how many rows were meant.
    mutating func purge(_ scope: PurgeScope, _ kind: PurgeKind, _ database: Database) throws -> Int {
        switch scope {
        case .everything where kind == .remove: return try self.wipe(database)
        case .key(let key):
            let hash = Int64(bitPattern: KeyFilter.hash(key))
            return try self.apply(
                kind,
                Row.fetchAll(
                    database, sql: "SELECT \(Place.columns) FROM entry WHERE hash = ? AND site = ? AND uri = ?",
                    arguments: [hash, key.site, key.uri]), database)
        case .tag(let tag, let site):
            let columns: String = Place.columns.replacingOccurrences(of: "id,", with: "entry.id,")
            return try self.apply(
                kind,
                Row.fetchAll(
                    database,
                    sql: """
                        SELECT \(columns) FROM tag JOIN entry ON entry.id = tag.entry
                        WHERE tag.tag = ? AND (? IS NULL OR entry.site = ?)
                        """, arguments: [tag, site, site]), database)
        case .tags(let patterns):
            var count = 0
            for pattern in patterns {
                let columns: String = Place.columns.replacingOccurrences(of: "id,", with: "entry.id,")
                // In the order of the index, which is that of the bytes: what begins so stands together.
                let (condition, arguments): (String, StatementArguments) =
                    pattern.hasSuffix("*")
                    ? ("substr(tag.tag, 1, length(?1)) = ?1", [String(pattern.dropLast())])
                    : ("tag.tag = ?1", [pattern])
                let rows: [Row] = try Row.fetchAll(
                    database,
                    sql: "SELECT DISTINCT \(columns) FROM tag JOIN entry ON entry.id = tag.entry WHERE \(condition)",
                    arguments: arguments)
                count += try self.apply(kind, rows, database)
            }
            return count
        case .prefix(let site, _), .site(let site):
            return try self.purgeRows(scope, kind, where: "site = ?", [site], database)
        case .hosts, .everything:
            return try self.purgeRows(scope, kind, where: "1", [], database)
        }
    }

    /// SQLite drops the pages of a whole table at once.
    private mutating func wipe(_ database: Database) throws -> Int {
        let count: Int = self.usage.entries
        for table in ["entry", "body", "tag"] { try database.execute(sql: "DELETE FROM \(table)") }
        let turn: Int64 = self.usage.nextTurn
        self.usage = DiskUsage()
        self.usage.nextTurn = turn
        self.added = []
        self.removed = []
        self.files = []
        self.isWiped = true
        return count
    }

    /// Visits rows in portions, so that memory stays bounded.
    private mutating func purgeRows(
        _ scope: PurgeScope, _ kind: PurgeKind, where condition: String, _ arguments: StatementArguments,
        _ database: Database
    ) throws -> Int {
        let portion = 5_000
        var last: Int64 = -1
        var count = 0
        while true {
            let rows: [Row] = try Row.fetchAll(
                database,
                sql: """
                    SELECT \(Place.columns), uri FROM entry
                    WHERE \(condition) AND id > ? ORDER BY id LIMIT \(portion)
                    """, arguments: arguments + [last])
            guard let end = rows.last.flatMap({ Int64.fromDatabaseValue($0[0]) }) else { return count }
            let meant: [Row] = rows.filter { row in
                let key = CacheKey(
                    site: String.fromDatabaseValue(row[3]) ?? "",
                    uri: String.fromDatabaseValue(row[Place.columnCount]) ?? "")
                return scope.covers(key) == true
            }
            count += try self.apply(kind, meant, database)
            last = end
        }
    }

    private mutating func apply(_ kind: PurgeKind, _ rows: [Row], _ database: Database) throws -> Int {
        for place in rows.compactMap({ Place($0) }) {
            var marks: PurgeMarks = place.marks
            // Damaged marks would get a checksum of their own: the row goes.
            guard marks.add(kind), place.hasRightMarks else {
                try self.delete(place, database)
                continue
            }
            // It is marked so already.
            if marks == place.marks { continue }
            try database.cachedStatement(sql: "UPDATE entry SET stale = ?, invalidated = ?, marks = ? WHERE id = ?")
                .execute(arguments: [
                    marks.staleAt, marks.isInvalidated ? 1 : 0, DiskIndex.checksum(id: place.id, marks), place.id,
                ])
        }
        return rows.count
    }

    // MARK: room

    private mutating func makeRoom(for cost: Int, site: String, _ database: Database) throws -> Bool {
        let siteLimit: Int = self.limits.shares.bytes(for: site, of: self.limits.bytes)
        guard cost <= siteLimit, cost <= self.limits.bytes else { return false }
        while self.usage.share(of: site).bytes + cost > siteLimit {
            guard try self.evict(site: site, database) else { return false }
        }
        while self.usage.whole.bytes + cost > self.limits.bytes || self.usage.entries >= self.limits.entries {
            guard try self.evict(site: nil, database) else { return false }
        }
        return true
    }

    /// Evicts one row of a site, or of all.
    ///
    /// - Returns: false if there is none.
    private mutating func evict(site: String?, _ database: Database) throws -> Bool {
        let share: DiskUsage.Share = site.map { self.usage.share(of: $0) } ?? self.usage.whole
        let limit: Int = site.map { self.limits.shares.bytes(for: $0, of: self.limits.bytes) } ?? self.limits.bytes
        let smallFirst: Bool = share.smallBytes >= limit / Ledger.smallShare
        // Ends: every step deletes a row, moves one out of the small queue or takes a use away.
        while true {
            guard
                let place = try self.oldest(main: !smallFirst, site: site, database)
                    ?? self.oldest(main: smallFirst, site: site, database)
            else { return false }
            if place.uses > 0 {
                try database.cachedStatement(sql: "UPDATE entry SET queue = 1, turn = ?, uses = ? WHERE id = ?")
                    .execute(arguments: [self.takeTurn(), place.isMain ? place.uses - 1 : 0, place.id])
                if !place.isMain {
                    self.usage.remove(place.cost, isMain: false, site: place.site)
                    self.usage.add(place.cost, isMain: true, site: place.site)
                }
            } else {
                try self.delete(place, database)
                self.evictions += 1
                return true
            }
        }
    }

    private func oldest(main: Bool, site: String?, _ database: Database) throws -> Place? {
        let row: Row? =
            if let site {
                try Row.fetchOne(
                    database.cachedStatement(
                        sql: """
                            SELECT \(Place.columns) FROM entry WHERE site = ? AND queue = ? ORDER BY turn LIMIT 1
                            """), arguments: [site, main ? 1 : 0])
            } else {
                try Row.fetchOne(
                    database.cachedStatement(
                        sql: "SELECT \(Place.columns) FROM entry WHERE queue = ? ORDER BY turn LIMIT 1"),
                    arguments: [main ? 1 : 0])
            }
        return row.flatMap { Place($0) }
    }

    private mutating func takeTurn() -> Int64 {
        defer { self.usage.nextTurn &+= 1 }
        return self.usage.nextTurn
    }

    private mutating func delete(_ rows: [Row], _ database: Database) throws {
        for place in rows.compactMap({ Place($0) }) { try self.delete(place, database) }
    }

    private mutating func delete(_ place: Place, _ database: Database) throws {
        for table in ["entry WHERE id", "body WHERE id", "tag WHERE entry"] {
            try database.cachedStatement(sql: "DELETE FROM \(table) = ?").execute(arguments: [place.id])
        }
        self.usage.remove(place.cost, isMain: place.isMain, site: place.site)
        self.usage.entries = max(self.usage.entries - 1, 0)
        self.removed.append(place.hash)
        if place.isFile { self.files.append(place.id) }
    }
}
