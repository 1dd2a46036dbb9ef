import HTTPCaching
import HTTPFields
import Testing

@testable import CacheStorage

@Suite struct FieldBlockTests {
    @Test("A head in HTTP/2's form is made once, and anew where there is no room for it")
    func fieldBlocks() throws {
        var made = 0
        func block(_ store: ResponseStore, _ path: String) throws -> [UInt8] {
            let entry: CachedResponse = try #require(store.lookup(Sample.key(path)).first)
            return store.fieldBlock(of: entry) { head in
                made += 1
                return [UInt8](repeating: UInt8(head.status - 200), count: 200)
            }
        }
        let store = ResponseStore(limits: StoreLimits(fieldBlockBytes: 700))
        for path in ["a", "b", "c"] { store.fill(path) }
        for _ in 0..<3 {
            #expect(try block(store, "a").count == 200)
            #expect(try block(store, "b").count == 200)
        }
        #expect(made == 2)
        _ = try block(store, "c")
        _ = try block(store, "c")
        #expect(made == 4)
        #expect(store.memory.fieldBlocks.bytes == 592)
        // What is forgotten makes room.
        store.purge(.everything, .remove)
        #expect(store.memory.fieldBlocks.bytes == 0)
    }
}
