import Admission
import NIOCore

/// Work that waits, in some order.
protocol WorkLine {
    associatedtype Element

    init()
    var count: Int { get }
    /// How many pieces would be done before a new one of the owner, if nothing else arrived.
    func ahead(of owner: WorkOwner) -> Int
    mutating func append(_ element: Element, _ owner: WorkOwner)
    mutating func popFirst() -> (element: Element, deadline: UInt64)?
}

/// What takes turns at one level.
protocol WorkLevel {
    associatedtype Key: Hashable

    static func key(_ owner: WorkOwner) -> Key
}

enum ByEdge: WorkLevel {
    static func key(_ owner: WorkOwner) -> String { owner.edge }
}

enum BySite: WorkLevel {
    static func key(_ owner: WorkOwner) -> String { owner.site }
}

enum ByBlock: WorkLevel {
    static func key(_ owner: WorkOwner) -> ClientNetwork { owner.network.block }
}

enum ByNetwork: WorkLevel {
    static func key(_ owner: WorkOwner) -> ClientNetwork { owner.network }
}

/// Lines that take turns, one piece of work each.
struct Turns<Level: WorkLevel, Line: WorkLine>: WorkLine {
    private var lines: [Level.Key: Line] = [:]
    /// Those with something waiting, in the order of turns.
    private var turns = CircularBuffer<Level.Key>()
    private(set) var count: Int = 0

    init() {}

    func ahead(of owner: WorkOwner) -> Int {
        let own: Line? = self.lines[Level.key(owner)]
        let lines: Int = self.turns.count + (own == nil ? 1 : 0)
        // Each other line has at most as many turns before it as this one, and one more.
        return min(self.count, ((own?.ahead(of: owner) ?? 0) + 1) * lines - 1)
    }

    mutating func append(_ element: Line.Element, _ owner: WorkOwner) {
        let key: Level.Key = Level.key(owner)
        if self.lines[key] == nil { self.turns.append(key) }
        self.lines[key, default: Line()].append(element, owner)
        self.count += 1
    }

    mutating func popFirst() -> (element: Line.Element, deadline: UInt64)? {
        guard let key = self.turns.popFirst(), let piece = self.lines[key]?.popFirst() else { return nil }
        self.count -= 1
        if self.lines[key]?.count == 0 {
            self.lines[key] = nil
        } else {
            self.turns.append(key)
        }
        return piece
    }
}

/// The work for the clients of one network.
struct NetworkLine<Element>: WorkLine {
    private var underWay = CircularBuffer<(element: Element, deadline: UInt64)>()
    private var beginning = CircularBuffer<(element: Element, deadline: UInt64)>()

    init() {}

    var count: Int { self.underWay.count + self.beginning.count }

    func ahead(of owner: WorkOwner) -> Int { owner.urgency == .underWay ? self.underWay.count : self.count }

    mutating func append(_ element: Element, _ owner: WorkOwner) {
        switch owner.urgency {
        case .underWay: self.underWay.append((element, owner.deadline))
        case .beginning: self.beginning.append((element, owner.deadline))
        }
    }

    mutating func popFirst() -> (element: Element, deadline: UInt64)? {
        self.underWay.popFirst() ?? self.beginning.popFirst()
    }
}
