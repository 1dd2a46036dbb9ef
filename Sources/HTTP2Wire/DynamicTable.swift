/// The fields that a client's blocks may refer to, newest first (RFC 7541 §2.3.2, §4).
///
/// Bytes stand behind one another, so that a field can be copied in one go. What evicted fields leave behind is given up as soon as it
/// is more than what is in the table, bytes and entries each for itself: fields may have no bytes at all. A table that is not used takes no
/// memory.
struct DynamicTable: Sendable {
    struct Entry: Sendable {
        /// Where name and value stand, one behind the other.
        fileprivate(set) var start: Int
        let nameCount: Int
        let valueCount: Int
        let judgement: FieldJudgement

        var size: Int { self.nameCount + self.valueCount + DynamicTable.overhead }
    }

    /// What an entry counts beside its bytes (RFC 7541 §4.1).
    static let overhead = 32
    /// SETTINGS_HEADER_TABLE_SIZE, which is left as it begins.
    static let maximumSize = 4096

    private var bytes: [UInt8] = []
    /// Oldest first, from `oldest` on.
    private var entries: [Entry] = []
    private var oldest = 0
    private var size = 0
    private var limit = DynamicTable.maximumSize

    var count: Int { self.entries.count - self.oldest }

    /// Entries that memory is held for, evicted ones among them: never more than twice as many as there can be, and a few.
    var heldEntries: Int { self.entries.count }
    /// Bytes of names and values that memory is held for.
    var heldBytes: Int { self.bytes.count }

    /// - Parameter index: 0 is the newest.
    subscript(index: Int) -> Entry { self.entries[self.entries.count - 1 - index] }

    func withBytes(of entry: Entry, _ body: (UnsafeRawBufferPointer) -> Void) {
        self.bytes.withUnsafeBytes {
            body(UnsafeRawBufferPointer(rebasing: $0[entry.start..<(entry.start + entry.nameCount + entry.valueCount)]))
        }
    }

    /// RFC 7541 §4.3.
    mutating func resize(to limit: Int) {
        self.limit = limit
        self.evict(for: 0)
    }

    /// RFC 7541 §4.4: a field that is larger than the table empties it.
    mutating func add(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, _ judgement: FieldJudgement) {
        let size = name.count + value.count + Self.overhead
        self.evict(for: size)
        guard size <= self.limit else { return }
        if self.oldest > max(16, self.count) || self.bytes.count + name.count + value.count > max(512, 2 * self.size) {
            self.compact()
        }
        let start = self.bytes.count
        self.bytes.append(contentsOf: name)
        self.bytes.append(contentsOf: value)
        self.entries.append(
            Entry(start: start, nameCount: name.count, valueCount: value.count, judgement: judgement))
        self.size += size
    }

    private mutating func evict(for size: Int) {
        while self.size + size > self.limit, self.oldest < self.entries.count {
            self.size -= self.entries[self.oldest].size
            self.oldest += 1
        }
        if self.oldest == self.entries.count {
            self.entries.removeAll(keepingCapacity: true)
            self.bytes.removeAll(keepingCapacity: true)
            self.oldest = 0
        }
    }

    /// Gives up what evicted entries left behind. Happens after as many entries, or bytes, were added as are moved, or more.
    private mutating func compact() {
        guard self.oldest > 0 else { return }
        let gone = self.entries[self.oldest].start
        self.bytes.removeFirst(gone)
        self.entries.removeFirst(self.oldest)
        self.oldest = 0
        for index in self.entries.indices { self.entries[index].start -= gone }
    }
}
