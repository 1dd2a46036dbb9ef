/// Doubly linked chains over numbered slots. Every slot has one pair of links for the store's chains and one for its
/// site's: the two sets never mix.
struct SlotChains {
    enum Links: Int {
        case whole = 0
        case site = 1
    }

    /// First in is at the head.
    struct Chain {
        fileprivate(set) var head: Int32 = -1
        fileprivate(set) var tail: Int32 = -1
        fileprivate(set) var count = 0
        fileprivate(set) var bytes = 0
    }

    private struct Link {
        var previous: Int32 = -1
        var next: Int32 = -1
    }

    private var links: [Link] = []

    /// - Parameter slots: how many there will be soon.
    mutating func reserve(_ slots: Int) { self.links.reserveCapacity(slots * 2) }

    /// Makes room for one more slot.
    mutating func grow() {
        self.links.append(Link())
        self.links.append(Link())
    }

    mutating func append(_ slot: Int32, cost: Int, to chain: inout Chain, _ set: Links) {
        self.links[self.index(slot, set)] = Link(previous: chain.tail, next: -1)
        if chain.tail >= 0 {
            self.links[self.index(chain.tail, set)].next = slot
        } else {
            chain.head = slot
        }
        chain.tail = slot
        chain.count += 1
        chain.bytes += cost
    }

    mutating func remove(_ slot: Int32, cost: Int, from chain: inout Chain, _ set: Links) {
        let link: Link = self.links[self.index(slot, set)]
        if link.previous >= 0 {
            self.links[self.index(link.previous, set)].next = link.next
        } else {
            chain.head = link.next
        }
        if link.next >= 0 {
            self.links[self.index(link.next, set)].previous = link.previous
        } else {
            chain.tail = link.previous
        }
        self.links[self.index(slot, set)] = Link()
        chain.count -= 1
        chain.bytes -= cost
    }

    private func index(_ slot: Int32, _ set: Links) -> Int { Int(slot) * 2 + set.rawValue }
}

extension SlotChains.Chain {
    mutating func changeCost(by difference: Int) {
        self.bytes += difference
    }
}
