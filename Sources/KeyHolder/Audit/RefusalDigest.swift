import Admission

/// Which refusals get an audit line each, and which become one line with a count. Pure; times are monotonic nanoseconds and
/// are expected not to go back.
///
/// A refusal costs its sender next to nothing, and a sender that can have lines written can fill a disk. So repeats of one kind,
/// that is of edge, operation, outcome and site, have lines of their own up to ``linesPerKind`` in an ``interval``; and all
/// refusals of an edge together up to a rate, and of all edges up to another. The rest is counted, and leaves one line for each kind
/// at the interval's end. Kinds are bounded for each edge; beyond that they count as one. If all edges together would leave more
/// than ``linesAtOnce`` lines at an end, each of them leaves one.
///
/// What is about no edge, such as strangers that connect, has a rate of its own.
struct RefusalDigest {
    /// What repeats have in common.
    struct Kind: Hashable {
        var edge: String?
        var operation: String
        var outcome: AuditOutcome
        var site: String?

        init(_ record: AuditRecord) {
            self.edge = record.edge
            self.operation = record.operation
            self.outcome = record.outcome
            self.site = record.site
        }

        /// For what comes beyond ``RefusalDigest/kindsPerEdge``.
        var merged: Kind {
            var kind: Kind = self
            kind.operation = "several"
            kind.outcome = .refused
            kind.site = nil
            return kind
        }
    }

    private struct Tally {
        /// Monotonic nanoseconds.
        var end: UInt64
        var lines: Int = 0
        var counted: Int = 0
        /// The first that was only counted; milliseconds since 1970 UTC.
        var since: Int64 = 0
    }

    private struct Sender {
        var lines: TokenBucket
        var kinds: [Kind: Tally] = [:]
    }

    static let interval: UInt64 = 10_000_000_000
    static let linesPerKind: Int = 10
    static let kindsPerEdge: Int = 64
    /// Lines per second of one edge, with bursts of ten times as many.
    static let linesPerEdge: Int = 20
    /// Lines per second of all edges together, with bursts of ten times as many.
    static let linesOfEdges: Int = 200
    /// Counts that are written at the end of intervals, at once.
    static let linesAtOnce: Int = 640
    /// The same as ``linesPerEdge`` for connections that are no edge's yet.
    static let linesOfStrangers: Int = 50

    /// Edges have been let in, so there are few. One that is owed nothing is forgotten.
    private var senders: [String?: Sender] = [:]
    private var lines: TokenBucket?

    /// A refusal. True: it is to have its own line.
    mutating func note(_ record: AuditRecord, now: UInt64) -> Bool {
        let perSecond: Int = record.edge == nil ? Self.linesOfStrangers : Self.linesPerEdge
        let fresh = Sender(lines: TokenBucket(perSecond: perSecond, burst: 10 * perSecond, now: now))
        var kind = Kind(record)
        if let sender = self.senders[record.edge], sender.kinds[kind] == nil, sender.kinds.count >= Self.kindsPerEdge {
            kind = kind.merged
        }
        var all: TokenBucket =
            self.lines ?? TokenBucket(perSecond: Self.linesOfEdges, burst: 10 * Self.linesOfEdges, now: now)
        let isOwn: Bool = Self.note(
            record, kind, in: &self.senders[record.edge, default: fresh], of: &all, now: now)
        self.lines = all
        return isOwn
    }

    private static func note(
        _ record: AuditRecord, _ kind: Kind, in sender: inout Sender, of all: inout TokenBucket, now: UInt64
    ) -> Bool {
        var tally: Tally = sender.kinds[kind] ?? Tally(end: now + Self.interval)
        defer { sender.kinds[kind] = tally }
        // Strangers come from many addresses, which a count would not tell.
        if record.edge == nil || tally.lines < Self.linesPerKind, sender.lines.take(now: now),
            record.edge == nil || all.take(now: now)
        {
            tally.lines += 1
            return true
        }
        if tally.counted == 0 { tally.since = record.time }
        tally.counted += 1
        return false
    }

    /// The lines for what was only counted in intervals that are over.
    ///
    /// - Parameters:
    ///   - time: The lines' time, milliseconds since 1970 UTC.
    ///   - all: Whether intervals end now: nothing comes any more.
    mutating func collect(now: UInt64, time: Int64, all: Bool = false) -> [AuditRecord] {
        var counted: [(kind: Kind, repeats: AuditRecord.Repeats)] = []
        for (edge, sender) in self.senders {
            var sender: Sender = sender
            for (kind, tally) in sender.kinds where all || tally.end <= now {
                sender.kinds[kind] = nil
                guard tally.counted > 0 else { continue }
                counted.append((kind, AuditRecord.Repeats(count: tally.counted, since: tally.since)))
            }
            self.senders[edge] = sender.kinds.isEmpty && sender.lines.isFull(now: now) ? nil : sender
        }
        if counted.count > Self.linesAtOnce { counted = Self.merged(counted) }
        return counted.map { kind, repeats in
            AuditRecord(
                time: time, edge: kind.edge, site: kind.site, operation: kind.operation, outcome: kind.outcome,
                duration: 0, repeats: repeats)
        }
    }

    /// One count for each edge.
    private static func merged(
        _ counted: [(kind: Kind, repeats: AuditRecord.Repeats)]
    ) -> [(kind: Kind, repeats: AuditRecord.Repeats)] {
        var merged: [Kind: AuditRecord.Repeats] = [:]
        for (kind, repeats) in counted {
            let before: AuditRecord.Repeats? = merged[kind.merged]
            merged[kind.merged] = AuditRecord.Repeats(
                count: repeats.count + (before?.count ?? 0), since: min(repeats.since, before?.since ?? .max))
        }
        return merged.map { ($0.key, $0.value) }
    }
}
