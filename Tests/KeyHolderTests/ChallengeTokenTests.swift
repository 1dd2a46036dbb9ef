import KeyProtocol
import NIOCore
import TLSWire
import Testing

@testable import KeyHolder

@Suite("Tokens of authorities that check a name without TLS", .timeLimit(.minutes(1)))
struct ChallengeTokenTests {
    static let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

    static func request(_ name: String?, _ token: String = Self.token) -> KeyMessage {
        KeyMessage(
            opcode: .custom, payload: ByteBuffer(string: token), function: KeyFunction.challenge.rawValue,
            serverName: name)
    }

    @Test("A token is given to edges of its name's site, while its order is open, and leaves a line")
    func tokens() async throws {
        let holder = try await TestHolder(edges: ["paris"])
        let edge = try await holder.edge("paris")
        func answer(_ name: String?, _ token: String = Self.token) async throws -> String? {
            let answer = try #require(try await edge.ask(Self.request(name, token)))
            return answer.opcode == .success ? String(buffer: answer.payload) : nil
        }
        #expect(try await answer("p256.test") == "")
        let name = try ServerName("p256.test")
        holder.server.showToken(Self.token, value: "\(Self.token).thumbprint", for: name)
        #expect(try await answer("p256.test") == "\(Self.token).thumbprint")
        // Neither for another name of the edge's nor another token, and nothing for a name that is none of its sites.
        #expect(try await answer("rsa.test") == "")
        #expect(try await answer("www.p256.test") == "")
        #expect(try await answer("p256.test", String(Self.token.dropLast())) == "")
        #expect(try await answer("nowhere.test") == nil)
        #expect(try await answer(nil) == nil)
        #expect(try await answer("p256.test", "a b") == nil)
        #expect(try await answer("p256.test", "") == nil)
        #expect(try await answer("p256.test", String(repeating: "a", count: 257)) == nil)
        holder.server.withdrawToken(Self.token, for: name)
        #expect(try await answer("p256.test") == "")
        let lines = try await holder.stop().filter { $0["operation"] == "challenge" }
        #expect(lines.count { $0["outcome"] == "ok" } == 1)
        #expect(lines.count { $0["outcome"] == "unknown-site" } == 1)
        #expect(lines.count { $0["outcome"] == "format-error" } == 4)
    }

    @Test("Tokens are given out within a rate, and what is given to none does not count")
    func rate() async throws {
        let holder = try await TestHolder(edges: ["paris"])
        let edge = try await holder.edge("paris")
        for _ in 0..<200 {
            let answer = try #require(try await edge.ask(Self.request("p256.test")))
            #expect(answer.opcode == .success && answer.payload.readableBytes == 0)
        }
        let name = try ServerName("p256.test")
        holder.server.showToken(Self.token, value: "\(Self.token).thumbprint", for: name)
        let begin = ContinuousClock.now
        var given = 0
        for _ in 0..<500 {
            let answer = try #require(try await edge.ask(Self.request("p256.test")))
            if answer.opcode == .success {
                given += 1
            } else {
                #expect(answer.payload.readableBytesView.first == KeyErrorCode.rateLimited.rawValue)
            }
        }
        let tenths = (ContinuousClock.now - begin) / .milliseconds(100)
        #expect(given >= Grant.challengeRate.burst && Double(given) <= Double(Grant.challengeRate.burst) + tenths + 1)
        let lines = try await holder.stop().filter { $0["operation"] == "challenge" }
        #expect(lines.count { $0["outcome"] == "ok" } == given)
    }

    @Test("An answer that no authority could be given is none")
    func answers() throws {
        #expect(try ChallengeAnswer(decoding: ByteBuffer()).keyAuthorization == nil)
        #expect(try ChallengeAnswer(decoding: ByteBuffer(string: "a.b")).keyAuthorization == "a.b")
        for text in ["a.b\r\nX: 1", String(repeating: "a", count: 513), "<a>"] {
            #expect(throws: KeyPayloadError.self) { try ChallengeAnswer(decoding: ByteBuffer(string: text)) }
        }
    }

    @Test("Questions that clients of an edge bring about do not slow it down, whatever they ask for")
    func foreignNames() async throws {
        var limits = KeyHolderLimits()
        limits.refusals = 5
        let holder = try await TestHolder(edges: ["paris"], limits: limits)
        let edge = try await holder.edge("paris")
        let begin = ContinuousClock.now
        for _ in 0..<40 { #expect(try await edge.ask(Self.request("nowhere.test"))?.opcode == .error) }
        #expect(ContinuousClock.now - begin < .seconds(4))
        _ = try await holder.stop()
    }
}
