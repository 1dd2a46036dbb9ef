import Admission
import KeyProtocol
import NIOCore

/// Whose work it is, and until when it is of use.
struct WorkOwner: Sendable {
    var edge: String
    /// Of the client that it is for.
    var network: ClientNetwork
    var urgency: WorkUrgency
    /// Monotonic nanoseconds. Who asked has given up by then.
    var deadline: UInt64
}

/// What comes first among the work for one network of clients.
enum WorkUrgency: Sendable {
    /// Part of a handshake that was begun: work went into it already.
    case underWay
    case beginning
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
/// - Edges take turns. Within an edge the networks of its clients take turns, so that one network's flood delays another
///   network's request by one piece of work for each network, and another edge's by one for each edge. Within a network, what
///   belongs to a handshake that was begun comes before what begins one; else the order of arrival holds.
/// - What could not be done in time is refused at once, so that its sender can turn elsewhere while there is time.
/// - What was taken in, and cannot be done in time any more when its turn comes, is dropped without being done. So nothing
///   is spent on answers that come too late, and under any load as much is done in time as can be done.
///
/// The estimate is how much would come before the newcomer if nothing else arrived, times what a piece of work took lately.
/// Networks are remembered only while something of theirs waits, so memory is bounded by the number of pieces.
struct WorkQueue<Element> {
    enum Turn {
        case perform(Element)
        /// Past its deadline, or about to be.
        case drop(Element)
    }

    private struct Piece {
        var element: Element
        var deadline: UInt64
    }

    private struct NetworkLine {
        var underWay = CircularBuffer<Piece>()
        var beginning = CircularBuffer<Piece>()

        var count: Int { self.underWay.count + self.beginning.count }

        mutating func popFirst() -> Piece? {
            self.underWay.popFirst() ?? self.beginning.popFirst()
        }
    }

    private struct EdgeLine {
        var networks: [ClientNetwork: NetworkLine] = [:]
        /// Networks with something waiting, in the order of turns.
        var turns = CircularBuffer<ClientNetwork>()
        var count: Int = 0

        mutating func append(_ piece: Piece, _ owner: WorkOwner) {
            if self.networks[owner.network] == nil { self.turns.append(owner.network) }
            switch owner.urgency {
            case .underWay: self.networks[owner.network, default: NetworkLine()].underWay.append(piece)
            case .beginning: self.networks[owner.network, default: NetworkLine()].beginning.append(piece)
            }
            self.count += 1
        }

        mutating func popFirst() -> Piece? {
            guard let network = self.turns.popFirst(), let piece = self.networks[network]?.popFirst() else {
                return nil
            }
            self.count -= 1
            if self.networks[network]?.count == 0 {
                self.networks[network] = nil
            } else {
                self.turns.append(network)
            }
            return piece
        }
    }

    private let workers: UInt64
    private var edges: [String: EdgeLine] = [:]
    /// Edges with something waiting, in the order of turns.
    private var turns = CircularBuffer<String>()
    private(set) var count: Int = 0
    /// What a piece of work takes: a mean in which the last sixteen weigh most.
    private(set) var cost: UInt64

    /// - Parameters:
    ///   - workers: How many pieces are done at once.
    ///   - cost: What a piece takes, until some were measured; nanoseconds.
    init(workers: Int, cost: UInt64) {
        self.workers = UInt64(max(1, workers))
        self.cost = cost
    }

    var isEmpty: Bool { self.count == 0 }

    /// A piece of work took so many nanoseconds.
    mutating func measured(_ nanoseconds: UInt64) {
        // A single one counts for no more than a second: a machine that slept tells nothing.
        let sample: Int64 = Int64(min(nanoseconds, 1_000_000_000))
        self.cost = UInt64(max(1, Int64(self.cost) + (sample - Int64(self.cost)) / 16))
    }

    /// When a new piece of the owner would be done, counted from now; nanoseconds.
    func estimatedTime(_ owner: WorkOwner) -> UInt64 {
        var ahead: Int = 0
        var edgeCount: Int = self.turns.count
        if let line = self.edges[owner.edge] {
            let own: NetworkLine? = line.networks[owner.network]
            let ownAhead: Int = own.map { owner.urgency == .underWay ? $0.underWay.count : $0.count } ?? 0
            let networks: Int = line.turns.count + (own == nil ? 1 : 0)
            // Each other network has at most as many turns before it as this one, and one more.
            ahead = min(line.count, (ownAhead + 1) * networks - 1)
        } else {
            edgeCount += 1
        }
        ahead = min(self.count, (ahead + 1) * edgeCount - 1)
        return (UInt64(ahead) * self.cost) / self.workers + self.cost
    }

    /// Why work of this owner would not be done in time; nil: it would. Where nothing waits, work is tried whatever it took
    /// lately, or a few slow pieces would end all work for good.
    func refusal(of owner: WorkOwner, now: UInt64) -> WorkRefusal? {
        guard now < owner.deadline else { return .pastDeadline }
        guard self.count > 0 else { return nil }
        return now + self.estimatedTime(owner) > owner.deadline ? .overloaded : nil
    }

    /// Takes a piece in, unless it could not be done in time.
    mutating func append(_ element: Element, of owner: WorkOwner, now: UInt64) -> WorkRefusal? {
        if let refusal = self.refusal(of: owner, now: now) { return refusal }
        if self.edges[owner.edge] == nil { self.turns.append(owner.edge) }
        self.edges[owner.edge, default: EdgeLine()].append(Piece(element: element, deadline: owner.deadline), owner)
        self.count += 1
        return nil
    }

    /// The next piece, and whether it is still to be done.
    mutating func popFirst(now: UInt64) -> Turn? {
        guard let edge = self.turns.popFirst(), let piece = self.edges[edge]?.popFirst() else { return nil }
        self.count -= 1
        if self.edges[edge]?.count == 0 {
            self.edges[edge] = nil
        } else {
            self.turns.append(edge)
        }
        let isInTime: Bool = now + (self.count > 0 ? self.cost : 0) < piece.deadline
        return isInTime ? .perform(piece.element) : .drop(piece.element)
    }
}
