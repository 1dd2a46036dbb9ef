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

    @Test("An answer that no authority could be given is none")
    func answers() throws {
        #expect(try ChallengeAnswer(decoding: ByteBuffer()).keyAuthorization == nil)
        #expect(try ChallengeAnswer(decoding: ByteBuffer(string: "a.b")).keyAuthorization == "a.b")
        for text in ["a.b\r\nX: 1", String(repeating: "a", count: 513), "<a>"] {
            #expect(throws: KeyPayloadError.self) { try ChallengeAnswer(decoding: ByteBuffer(string: text)) }
        }
    }
}
