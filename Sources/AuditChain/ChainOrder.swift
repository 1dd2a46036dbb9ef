/// In which order files were written. Pure.
///
/// A clock may have been set back between two files: where a file's first line follows from another one's last, that is the order. Times
/// decide only between those that do not follow from one another.
public struct ChainOrder {
    public struct File: Sendable {
        public var name: String
        /// nil: it has none of a chain, or cannot be read twice.
        public var first: SealedLine?
        public var last: ChainPosition?

        public init(name: String, first: SealedLine?, last: ChainPosition?) {
            self.name = name
            self.first = first
            self.last = last
        }
    }

    private let files: [File]
    /// The place of the file that follows, by place.
    private var next: [Int: Int] = [:]
    private var taken: Set<Int> = []
    private var names: [String] = []

    private init(_ files: [File]) {
        self.files = files.sorted { $0.first?.text("time") ?? "" < $1.first?.text("time") ?? "" }
    }

    /// The files' names in their order.
    public static func names(of files: [File]) -> [String] {
        var order = ChainOrder(files)
        order.link()
        return order.names
    }

    private mutating func link() {
        var ends: [UInt64: [(place: Int, position: ChainPosition)]] = [:]
        for (place, file) in self.files.enumerated() {
            if let last = file.last { ends[last.sequence, default: []].append((place, last)) }
        }
        var followers: Set<Int> = []
        for (place, file) in self.files.enumerated() {
            guard let first = file.first,
                let former = ends[first.position.sequence - 1]?.first(where: {
                    $0.place != place && self.next[$0.place] == nil && first.follows($0.position)
                })
            else { continue }
            self.next[former.place] = place
            followers.insert(place)
        }
        for place in self.files.indices where !followers.contains(place) { self.take(from: place) }
        // What was made so that it goes round in a ring.
        for place in self.files.indices { self.take(from: place) }
    }

    private mutating func take(from place: Int) {
        var place: Int? = place
        while let present = place, self.taken.insert(present).inserted {
            self.names.append(self.files[present].name)
            place = self.next[present]
        }
    }
}
