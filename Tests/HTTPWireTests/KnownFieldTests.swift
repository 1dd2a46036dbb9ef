import HTTPFields
import HTTPWire
import Testing

@Suite struct KnownFieldTests {
    @Test(arguments: KnownField.allCases) func namesAreFoundInAnyCase(_ field: KnownField) {
        let name = Array(field.name)
        #expect((2...31).contains(name.count))
        let text = String(decoding: name, as: UTF8.self)
        for spelling in [text, text.lowercased(), text.uppercased()] {
            #expect(KnownField(Array(spelling.utf8)) == field, "\(spelling): the hash is not perfect; \(tables())")
        }
        // Every neighbour is another name: one byte more, less or changed.
        #expect(KnownField(name + [UInt8(ascii: "x")]) == nil)
        #expect(KnownField(Array(name.dropLast())) != field)
        for position in name.indices {
            for change: UInt8 in [0x20, 0x01, 0x10, 0x40, 0x80] {
                var other = name
                other[position] ^= change
                let isSameName = String(decoding: other, as: UTF8.self).lowercased() == text.lowercased()
                #expect((KnownField(other) == field) == isSameName, "\(latin1(other))")
            }
        }
    }

    @Test func namesAreInOrder() {
        let names = KnownField.allCases.map { String(decoding: $0.name, as: UTF8.self).lowercased() }
        #expect(names == names.sorted() && Set(names).count == names.count)
        for (name, field) in zip(names, KnownField.allCases) {
            #expect("\(field)".lowercased() == name.replacing("-", with: ""), "the case is called as the field")
        }
    }

    @Test func othersAreNotFound() {
        for name in [
            "", "a", "x", "x-forwarded", "accept-encodinh", "content_length", "host:", "te ", "\0\0", "aaaaaaaaaaaaaa",
        ] {
            #expect(KnownField(bytes(name)) == nil, "\(name)")
        }
        var random = TestRandom(seed: 3)
        let letters = Array("abcdefghijklmnopqrstuvwxyz-".utf8)
        let names = Set(KnownField.allCases.map { Array($0.name).map { $0 | 0x20 } })
        for _ in 0..<20_000 {
            let name = (0..<Int.random(in: 1...40, using: &random)).map { _ in letters.randomElement(using: &random)! }
            #expect((KnownField(name) != nil) == names.contains(name))
        }
    }

    @Test func sets() {
        var set = KnownFieldSet()
        #expect(set.isEmpty)
        for field in KnownField.allCases {
            #expect(!set.contains(field))
            let fresh = set.insert(field)
            let again = set.insert(field)
            #expect(fresh && !again && set.contains(field))
        }
        #expect(KnownFieldSet(.host, .via).intersects(KnownFieldSet(.via)))
        #expect(!KnownFieldSet(.host, .accept).intersects(KnownFieldSet(.via, .xRealIP)))
    }

    /// A multiplier without collisions and its slots, to be put where the names are.
    private func tables() -> String {
        var random = TestRandom(seed: 1)
        let keys = KnownField.allCases.map { field in
            let name = field.name.map { $0 | 0x20 }
            let last = name.count - 1
            let word =
                UInt32(name[0]) | UInt32(name[name.count / 2]) << 8 | UInt32(name[last - 1]) << 16
                | UInt32(name[last]) << 24
            return word ^ (UInt32(name.count) &* 0x9E37_79B1)
        }
        while true {
            let multiplier = UInt32(truncatingIfNeeded: random.next()) | 1
            var slots = [UInt8](repeating: 255, count: 512)
            for (index, key) in keys.enumerated() { slots[Int((key &* multiplier) >> 23)] = UInt8(index) }
            if slots.count(where: { $0 != 255 }) == keys.count { return "multiplier \(multiplier), slots \(slots)" }
        }
    }
}
