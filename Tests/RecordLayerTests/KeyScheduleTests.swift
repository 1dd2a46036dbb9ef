import Testing

@testable import RecordLayer

@Suite struct KeyScheduleTests {
    /// The TLS 1.2 PRF vectors that the IETF's TLS list published for P_SHA256 and P_SHA384.
    @Test func pseudorandomFunction() {
        let sha256: Secret = TLS12KeySchedule.expand(
            secret("9bbe436ba940f017b17652849a71db35"), "test label", seed: hex("a0ba9f936cda311827a6f796ffd5198c"),
            hash: .sha256, length: 100)
        #expect(
            sha256
                == secret(
                    """
                    e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af
                    0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701
                    87347b66
                    """))
        let sha384: Secret = TLS12KeySchedule.expand(
            secret("b80b733d6ceefcdc71566ea48e5567df"), "test label", seed: hex("cd665cf6a8447dd6ff8b27555edb7465"),
            hash: .sha384, length: 148)
        #expect(
            sha384
                == secret(
                    """
                    7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0
                    e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425
                    9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703
                    d73e56f
                    """))
    }

    @Test func wrongInputs() {
        let random = [UInt8](repeating: 1, count: 32)
        let master = Secret([UInt8](repeating: 2, count: 48))
        #expect(throws: ExportedSessionError.wrongVersion) {
            try TLS12KeySchedule.keys(
                suite: .aes128GCMSHA256, masterSecret: master, clientRandom: random, serverRandom: random)
        }
        #expect(throws: ExportedSessionError.secretLength) {
            try TLS12KeySchedule.keys(
                suite: .rsaAES128GCMSHA256, masterSecret: Secret([1]), clientRandom: random, serverRandom: random)
        }
        #expect(throws: ExportedSessionError.randomLength) {
            try TLS12KeySchedule.keys(
                suite: .rsaAES128GCMSHA256, masterSecret: master, clientRandom: random, serverRandom: [1])
        }
    }
}
