import Admission
import KeyProtocol
import NIOCore

/// Whose work it is, and until when it is of use.
struct WorkOwner: Sendable {
    var edge: String
    /// The site's name.
    var site: String
    /// Of the client that it is for.
    var network: ClientNetwork
    var urgency: Urgency
    /// Monotonic nanoseconds. Who asked has given up by then.
    var deadline: UInt64
}

/// Why work is not taken in.
enum WorkRefusal: Error, Equatable, Sendable {
    /// It could not be done before its deadline, or there is no room for it.
    case overloaded
    /// Its deadline has passed.
    case pastDeadline
}

extension WorkRefusal {
    var code: KeyErrorCode {
        switch self {
        case .overloaded: .overloaded
        case .pastDeadline: .pastDeadline
        }
    }

    var outcome: AuditOutcome {
        switch self {
        case .overloaded: .overloaded
        case .pastDeadline: .pastDeadline
        }
    }
}

/// Work that waits for its turn, when there is more of it than can be done at once. Pure; times are monotonic nanoseconds.
///
/// - Edges take turns. Within an edge its sites take turns, within a site the networks of its clients, first by blocks
///   (``ClientNetwork/block``). So one network's flood delays another network's request by one piece of work for each network,
///   one site's another site's by one for each site, and one edge's another edge's by one for each edge. Within a network, what
///   belongs to a handshake that was begun comes before what begins one; else the order of arrival holds.
/// - What could not be done in time is refused at once, so that its sender can turn elsewhere while there is time.
/// - What was taken in, and cannot be done in time any more when its turn comes, is dropped without being done. So nothing
///   is spent on answers that come too late, and under any load as much is done in time as can be done.
///
/// The estimate is how much would come before the newcomer if nothing else arrived, times what a piece of work took lately.
/// Edges, sites and networks are remembered only while something of theirs waits, so memory is bounded by the number of pieces.
struct WorkQueue<Element> {
    enum Turn {
        case perform(Element)
        /// Past its deadline, or about to be.
        case drop(Element)
    }

    private let workers: UInt64
    private var line = Turns<ByEdge, Turns<BySite, Turns<ByBlock, Turns<ByNetwork, NetworkLine<Element>>>>>()
    /// What a piece of work takes: a mean in which the last sixteen weigh most.
    private(set) var cost: UInt64

    /// - Parameters:
    ///   - workers: How many pieces are done at once.
    ///   - cost: What a piece takes, until some were measured; nanoseconds.
    init(workers: Int, cost: UInt64) {
        self.workers = UInt64(max(1, workers))
        self.cost = cost
    }

    var count: Int { self.line.count }
    var isEmpty: Bool { self.line.count == 0 }

    /// A piece of work took so many nanoseconds.
    mutating func measured(_ nanoseconds: UInt64) {
        // A single one counts for no more than a second: a machine that slept tells nothing.
        let sample: Int64 = Int64(min(nanoseconds, 1_000_000_000))
        self.cost = UInt64(max(1, Int64(self.cost) + (sample - Int64(self.cost)) / 16))
    }

    /// When a new piece of the owner would be done, counted from now; nanoseconds.
    func estimatedTime(_ owner: WorkOwner) -> UInt64 {
        (UInt64(self.line.ahead(of: owner)) * self.cost) / self.workers + self.cost
    }

    /// Why work of this owner would not be done in time; nil: it would. Where nothing waits, work is tried whatever it took
    /// lately, or a few slow pieces would end all work for good.
    func refusal(of owner: WorkOwner, now: UInt64) -> WorkRefusal? {
        guard now < owner.deadline else { return .pastDeadline }
        guard !self.isEmpty else { return nil }
        return now + self.estimatedTime(owner) > owner.deadline ? .overloaded : nil
    }

    /// Takes a piece in, unless it could not be done in time.
    mutating func append(_ element: Element, of owner: WorkOwner, now: UInt64) -> WorkRefusal? {
        if let refusal = self.refusal(of: owner, now: now) { return refusal }
        self.line.append(element, owner)
        return nil
    }

    /// The next piece, and whether it is still to be done.
    mutating func popFirst(now: UInt64) -> Turn? {
        guard let (element, deadline) = self.line.popFirst() else { return nil }
        let isInTime: Bool = now + (self.isEmpty ? 0 : self.cost) < deadline
        return isInTime ? .perform(element) : .drop(element)
    }
}
