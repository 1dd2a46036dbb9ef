import NIOCore
import Testing

@testable import HTTP2Wire

/// What the table holds is bounded by its size (RFC 7541 §4.1, §7.3), whatever the client puts into it.
@Suite struct DynamicTableTests {
    private static let maximumEntries = DynamicTable.maximumSize / DynamicTable.overhead

    private static func add(_ name: [UInt8], _ value: [UInt8], to table: inout DynamicTable) {
        name.withUnsafeBytes { name in
            value.withUnsafeBytes { table.add(name: name, value: $0, FieldJudgement(name: name, value: $0)) }
        }
    }

    /// Entries of no bytes count 32 in the table and take none of its bytes.
    @Test(arguments: [(0, 0), (0, 1), (1, 0), (1, 1), (3, 61), (100, 700), (2000, 2064), (4000, 64), (4000, 65)])
    func fieldsOfOneSize(nameCount: Int, valueCount: Int) {
        var table = DynamicTable()
        let name = [UInt8](repeating: UInt8(ascii: "a"), count: nameCount)
        let value = [UInt8](repeating: UInt8(ascii: "b"), count: valueCount)
        var mostEntries = 0
        var mostBytes = 0
        for _ in 0..<10_000 {
            Self.add(name, value, to: &table)
            mostEntries = max(mostEntries, table.heldEntries)
            mostBytes = max(mostBytes, table.heldBytes)
        }
        #expect(table.count == DynamicTable.maximumSize / (nameCount + valueCount + DynamicTable.overhead))
        #expect(mostEntries <= 2 * Self.maximumEntries + 32)
        #expect(mostBytes <= 3 * DynamicTable.maximumSize)
    }

    /// Small and large fields in turn, compared with a list that is kept the plain way.
    @Test func theNewestComeFirst() throws {
        var table = DynamicTable()
        var expected: [(name: [UInt8], value: [UInt8])] = []
        var random = SystemRandomNumberGenerator()
        for round in 0..<5_000 {
            if round.isMultiple(of: 997) {
                let limit = Int.random(in: 0...DynamicTable.maximumSize, using: &random)
                table.resize(to: limit)
                table.resize(to: DynamicTable.maximumSize)
                while expected.reduce(0, { $0 + $1.name.count + $1.value.count + 32 }) > limit { expected.removeLast() }
            }
            let most = [0, 1, 3, 40, 2500].randomElement(using: &random) ?? 0
            let name = [UInt8](repeating: UInt8(round & 0xFF), count: Int.random(in: 0...most, using: &random))
            let value = [UInt8](repeating: UInt8(round >> 8), count: Int.random(in: 0...most, using: &random))
            Self.add(name, value, to: &table)
            expected.insert((name, value), at: 0)
            while expected.reduce(0, { $0 + $1.name.count + $1.value.count + 32 }) > DynamicTable.maximumSize {
                expected.removeLast()
            }
            try #require(table.count == expected.count)
            for (index, (name, value)) in expected.enumerated() where index < 3 || index > expected.count - 3 {
                table.withBytes(of: table[index]) { bytes in
                    #expect(bytes.elementsEqual(name + value) && table[index].nameCount == name.count)
                }
            }
        }
    }

    /// The same by way of a block: one request after another brings nothing but empty fields.
    @Test func emptyFieldsOfManyBlocks() throws {
        var decoder = FieldBlockDecoder(limits: FieldBlockLimits(sectionBytes: 65_536, fields: 128))
        var block = ByteBuffer()
        for _ in 0..<100 { block.writeBytes([0x40, 0, 0]) }
        for _ in 0..<100 { #expect(try decoder.decode(block).malformation == .badFieldName) }
        #expect(decoder.heldTableEntries <= 2 * Self.maximumEntries + 32)
    }
}
