import Admission
import Testing

@Suite struct TokenBucketTests {
    @Test func bucketsDoNotOverfillAndDoNotRunBackwards() {
        var bucket = TokenBucket(perSecond: 10, burst: 3, now: 1000)
        let times: [UInt64] = [1000, 1000, 1000, 500, 100_001_000, 100_001_000]
        let rest = [UInt64](repeating: .max, count: 4)
        let taken: [Bool] = (times + rest).map { bucket.take(now: $0) }
        #expect(taken == [true, true, true, false, true, false, true, true, true, false])
    }
}
