import KeyProtocol
import NIOCore
import TLSWire
import Testing

@testable import KeyHolder

@Suite("Requests: which operations a key fits, stock peers' included")
struct KeyOperationTests {
    @Test("Every scheme with every key type: signed if it fits, refused if not")
    func schemes() throws {
        let every: [UInt16] = [
            0x0201, 0x0203, 0x0401, 0x0501, 0x0601, 0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0808,
            0x0809, 0x080A, 0x080B, 0x0000, 0xFFFF,
        ]
        for key in try PolicyFixtures.keys() {
            let policy = try Policy(
                sites: [try PolicyFixtures.site("a.test", ski: 1, key: key)],
                grants: [try PolicyFixtures.grant("paris", "a.test", rate: 1_000_000)], previous: nil, now: 0)
            for scheme in every.map(SignatureScheme.init(rawValue:)) {
                let pkcs1: Bool = [0x0401, 0x0501, 0x0601].contains(scheme.rawValue)
                for length in [32, 48] {
                    let request = PolicyFixtures.signRequest("a.test", scheme, hashLength: length)
                    let verdict = RequestJudgeTests.judge(request, policy)
                    if key.type.schemes.contains(scheme), !pkcs1 {
                        let content = SignedContent.tls13Server(
                            transcriptHash: [UInt8](repeating: 0xAB, count: length))
                        #expect(verdict.action.operation == .sign(scheme, content: content))
                    } else {
                        #expect(verdict.action.outcome == .wrongKeyType)
                        #expect(verdict.action.code == .badOpcode)
                    }
                }
            }
        }
    }

    static let stock: [(Opcode, Int)] = [
        (.rsaDecrypt, 256), (.rsaDecryptRaw, 256), (.rsaSignMD5SHA1, 36), (.rsaSignSHA1, 20), (.rsaSignSHA224, 28),
        (.rsaSignSHA256, 32), (.rsaSignSHA384, 48), (.rsaSignSHA512, 64), (.rsaPSSSignSHA256, 32),
        (.rsaPSSSignSHA384, 48), (.rsaPSSSignSHA512, 64), (.ecdsaSignMD5SHA1, 36), (.ecdsaSignSHA1, 20),
        (.ecdsaSignSHA224, 28), (.ecdsaSignSHA256, 32), (.ecdsaSignSHA384, 48), (.ecdsaSignSHA512, 64),
        (.ed25519Sign, 100),
    ]

    @Test("Every stock opcode with every key type", arguments: stock)
    func stockOpcodes(opcode: Opcode, length: Int) throws {
        let request = try #require(StockRequest(opcode))
        for key in try PolicyFixtures.keys() {
            let all = Set(KeyProtocol.Operation.allCases)
            func policy(_ operations: Set<KeyProtocol.Operation>) throws -> Policy {
                try Policy(
                    sites: [try PolicyFixtures.site("a.test", ski: 1, key: key)],
                    grants: [try PolicyFixtures.grant("paris", "a.test", operations: operations)], previous: nil,
                    now: 0)
            }
            let granted = try policy(all)
            func message(_ length: Int) -> KeyMessage {
                KeyMessage(
                    opcode: opcode, payload: ByteBuffer(repeating: 1, count: length),
                    ski: [UInt8](repeating: 1, count: 20))
            }
            let verdict = RequestJudgeTests.judge(message(length), granted)
            #expect(verdict.operation == request.operation.rawValue)
            if request.fits(key.type) {
                let operation = try #require(verdict.action.operation)
                #expect(throws: Never.self) { try key.perform(operation) }
                let wrong: Int = opcode == .ed25519Sign ? 0 : length + 1
                #expect(RequestJudgeTests.judge(message(wrong), granted).action.code == .formatError)
            } else {
                #expect(verdict.action.code == .badOpcode)
                #expect(verdict.action.outcome == .wrongKeyType)
            }
            // Off unless the grant names them.
            #expect(
                RequestJudgeTests.judge(message(length), try policy(KeyProtocol.Operation.keyless)).action.outcome
                    == .denied)
            #expect(
                RequestJudgeTests.judge(message(length), try policy(all.subtracting(request.needed))).action.outcome
                    == .denied)
        }
    }

    @Test("The bare private operation needs the grant to sign as well as the one to decrypt")
    func rawOperation() throws {
        let key = try #require(try PolicyFixtures.keys().last)
        for (operations, allowed) in [
            ([.rsaDecrypt], false), ([.rsaSign], false), ([.rsaDecrypt, .rsaSign], true),
        ] as [(Set<KeyProtocol.Operation>, Bool)] {
            let policy = try Policy(
                sites: [try PolicyFixtures.site("a.test", ski: 1, key: key)],
                grants: [try PolicyFixtures.grant("paris", "a.test", operations: operations)], previous: nil, now: 0)
            let message = KeyMessage(
                opcode: .rsaDecryptRaw, payload: ByteBuffer(repeating: 1, count: 256), serverName: "a.test")
            #expect((RequestJudgeTests.judge(message, policy).action.operation != nil) == allowed)
        }
    }

    @Test("Stock peers name a site by key identifier, by certificate digest or by name")
    func stockLookup() throws {
        let policy = try RequestJudgeTests.policy([
            try PolicyFixtures.grant("paris", "bank.test", operations: [.ecdsaSign])
        ])
        func outcome(_ change: (inout KeyMessage) -> Void) -> String {
            var message = KeyMessage(opcode: .ecdsaSignSHA256, payload: ByteBuffer(repeating: 1, count: 32))
            change(&message)
            let verdict = RequestJudgeTests.judge(message, policy)
            return verdict.action.outcome?.rawValue ?? verdict.site?.name ?? ""
        }
        #expect(outcome { $0.ski = [UInt8](repeating: 3, count: 20) } == "bank.test")
        #expect(outcome { $0.certificateDigest = [UInt8](repeating: 3, count: 32) } == "bank.test")
        #expect(outcome { $0.serverName = "bank.test" } == "bank.test")
        #expect(outcome { _ in } == "unknown-site")
        #expect(
            outcome {
                $0.ski = [UInt8](repeating: 8, count: 20); $0.serverName = "bank.test"
            } == "unknown-site")
    }

    @Test("Sites with one key are told apart by their grants")
    func sharedKeys() throws {
        let policy = try Policy(
            sites: [try PolicyFixtures.site("a.test", ski: 1), try PolicyFixtures.site("b.test", ski: 1)],
            grants: [try PolicyFixtures.grant("paris", "b.test", operations: [.ecdsaSign])], previous: nil, now: 0)
        let message = KeyMessage(
            opcode: .ecdsaSignSHA256, payload: ByteBuffer(repeating: 1, count: 32),
            ski: [UInt8](repeating: 1, count: 20))
        let verdict = RequestJudgeTests.judge(message, policy)
        #expect(verdict.site?.name == "b.test")
        #expect(verdict.action.operation != nil)
        #expect(policy.sitesSharingKeys.count == 1)
    }
}
