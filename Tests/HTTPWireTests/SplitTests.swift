import HTTPFields
import HTTPWire
import Testing

/// The verdict depends on the bytes, never on how they were cut.
@Suite struct SplitTests {
    @Test func requestsAtEverySplit() {
        for input in (requestCases.map(\.input) + smugglingCorpus.map(\.input)).map(bytes) {
            let whole = readRequests(input)
            for position in 0...input.count {
                #expect(
                    readRequests(input, cuts: [position]) == whole, "\(latin1(input).debugDescription) at \(position)")
            }
            #expect(readRequests(input, cuts: Array(input.indices)) == whole, "\(latin1(input).debugDescription)")
        }
    }

    @Test func responsesAtEverySplit() {
        for rule in responseCases {
            let input = bytes(rule.input)
            let whole = readResponses(input, to: rule.methods)
            for position in 0...input.count {
                #expect(readResponses(input, to: rule.methods, cuts: [position]) == whole, "\(rule) at \(position)")
            }
            #expect(readResponses(input, to: rule.methods, cuts: Array(input.indices)) == whole, "\(rule)")
        }
    }

    /// Pipelined requests of all kinds, cut at random: heads that are kept are not changed by what comes later.
    @Test func pipelinedRequestsInRandomPieces() {
        let accepted = requestCases.filter { if case .contents = $0.verdict { true } else { false } }
        let input = bytes(accepted.map(\.input).joined())
        let whole = readRequests(input)
        #expect(whole.fault == nil && whole.count > 60)
        var random = TestRandom(seed: 11)
        for _ in 0..<50 {
            let cuts = (0..<Int.random(in: 1...200, using: &random)).map { _ in
                Int.random(in: 0...input.count, using: &random)
            }
            #expect(readRequests(input, cuts: cuts.sorted()) == whole)
        }
    }
}
