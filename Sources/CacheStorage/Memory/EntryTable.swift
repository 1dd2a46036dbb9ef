/// Entries by hashes of 32 bits, one for each hash: open addressing with linear probing. A place takes 12 bytes; between seven sixteenths
/// and seven eighths of them are in use once there are a few entries.
struct EntryTable {
    private static let leastPlaces = 8

    private var hashes: [UInt32] = []
    private var entries: [CachedResponse?] = []
    private(set) var count = 0

    private var mask: Int { self.entries.count - 1 }

    subscript(hash: UInt32) -> CachedResponse? {
        guard self.count > 0 else { return nil }
        let place: Int = self.place(of: hash)
        return self.entries[place]
    }

    /// Sets the entry of a hash, or takes it away.
    mutating func set(_ entry: CachedResponse?, for hash: UInt32) {
        guard let entry else { return self.remove(hash) }
        if (self.count + 1) * 8 > self.entries.count * 7 {
            self.move(to: max(self.entries.count * 2, Self.leastPlaces))
        }
        let place: Int = self.place(of: hash)
        if self.entries[place] == nil { self.count += 1 }
        self.hashes[place] = hash
        self.entries[place] = entry
    }

    func forEach(_ body: (CachedResponse) -> Void) {
        for case let entry? in self.entries { body(entry) }
    }

    /// Where it is, or would be.
    private func place(of hash: UInt32) -> Int {
        var place: Int = Int(hash) & self.mask
        while self.entries[place] != nil, self.hashes[place] != hash { place = (place + 1) & self.mask }
        return place
    }

    private mutating func remove(_ hash: UInt32) {
        guard self.count > 0 else { return }
        var gap: Int = self.place(of: hash)
        guard self.entries[gap] != nil else { return }
        self.entries[gap] = nil
        self.count -= 1
        // What was pushed behind this place moves up, so that no look-up ends at the gap.
        var next: Int = (gap + 1) & self.mask
        while let entry = self.entries[next] {
            let home: Int = Int(self.hashes[next]) & self.mask
            if (next - home) & self.mask >= (next - gap) & self.mask {
                self.hashes[gap] = self.hashes[next]
                self.entries[gap] = entry
                self.entries[next] = nil
                gap = next
            }
            next = (next + 1) & self.mask
        }
        if self.entries.count > Self.leastPlaces, self.count * 8 < self.entries.count {
            self.move(to: self.entries.count / 2)
        }
    }

    private mutating func move(to places: Int) {
        let (hashes, entries): ([UInt32], [CachedResponse?]) = (self.hashes, self.entries)
        self.hashes = Array(repeating: 0, count: places)
        self.entries = Array(repeating: nil, count: places)
        for (hash, entry) in zip(hashes, entries) {
            guard let entry else { continue }
            let place: Int = self.place(of: hash)
            self.hashes[place] = hash
            self.entries[place] = entry
        }
    }
}
