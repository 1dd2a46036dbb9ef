import NIOCore
import TLSWire
import Testing

@testable import RecordLayer
@testable import TLSEngine

/// Known answers: what the client's Finished must say, from the handshakes of RFC 8448, record by record.
@Suite struct RFC8448Tests {
    /// §3, "Simple 1-RTT Handshake".
    @Test func simple() throws {
        var transcript = ServerTranscript()
        Self.add([Self.clientHello], isServers: false, to: &transcript)
        Self.add([Self.serverHello], isServers: true, to: &transcript)
        let secret = Self.secret("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
        Self.add(messages: try Self.open(Self.flight, secret), to: &transcript)
        let finished = try Self.finished(
            &transcript, Self.secret("b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"))
        #expect(
            finished.verifyData == Self.secret("a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61"))
        #expect(finished.keys.key == Self.secret("dbfaa693d1762c5b666af5d950258d01"))
        #expect(finished.keys.iv == Self.secret("5bd3c71b836e0b76bb73265f"))
    }

    /// §5, "HelloRetryRequest": the first ClientHello counts by its hash.
    @Test func helloRetryRequest() throws {
        var transcript = ServerTranscript()
        Self.add([Self.firstHello], isServers: false, to: &transcript)
        Self.add([Self.retry], isServers: true, to: &transcript)
        Self.add([Self.secondHello], isServers: false, to: &transcript)
        Self.add([Self.serverHelloAfterRetry], isServers: true, to: &transcript)
        let secret = Self.secret("3403e781e2af7b6508da28574f6e95a1abf162de83a97927c37672a4a0cef8a1")
        Self.add(messages: try Self.open(Self.flightAfterRetry, secret), to: &transcript)
        let clientSecret = Self.secret("158aa7ab8855073582b41d674b4055cabcc534728f659314861b4e08e2011566")
        // The application secrets have no part in this.
        var session = RecordSession(
            try ExportedSession(
                suite: .aes128GCMSHA256, applicationProtocol: nil,
                secrets: .tls13(
                    client: clientSecret, server: clientSecret, finished: try Self.finished(&transcript, clientSecret)))
        )
        let reception = session.receive(ByteBuffer(bytes: Self.clientFinishedAfterRetry))
        #expect(reception == Reception(handshakeCompleted: true))
    }

    // MARK: Parts

    private static func hex(_ text: String) -> [UInt8] {
        let digits = text.compactMap { $0.hexDigitValue.map(UInt8.init) }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private static func secret(_ text: String) -> Secret { Secret(self.hex(text)) }

    /// Messages that fill a record each.
    private static func add(_ records: [[UInt8]], isServers: Bool, to transcript: inout ServerTranscript) {
        for record in records {
            record[RecordHeader.length...].withUnsafeBytes { transcript.add($0, isServers: isServers) }
        }
    }

    private static func add(messages: [UInt8], to transcript: inout ServerTranscript) {
        var rest = messages[...]
        while rest.count >= 4 {
            let start = rest.startIndex
            let length = 4 + Int(rest[start + 1]) << 16 + Int(rest[start + 2]) << 8 + Int(rest[start + 3])
            rest.prefix(length).withUnsafeBytes { transcript.add($0, isServers: true) }
            rest = rest.dropFirst(length)
        }
    }

    /// What a single record holds.
    private static func open(_ record: [UInt8], _ secret: Secret) throws -> [UInt8] {
        var opener = RecordOpener(suite: .aes128GCMSHA256, secret: secret, sequence: 0)
        let bytes = ByteBuffer(bytes: record)
        var content = ByteBuffer()
        let header = try #require(RecordHeader(in: bytes, at: 0))
        let opened = try opener.open(bytes, at: 0, header: header, into: &content)
        content.moveWriterIndex(forwardBy: opened.length)
        return Array(content.readableBytesView)
    }

    private static func finished(
        _ transcript: inout ServerTranscript, _ clientSecret: Secret
    ) throws -> ExportedSession.ClientFinished {
        let schedule = TLS13KeySchedule(.aes128GCMSHA256)
        let made: [UInt8]? = transcript.digest
        let digest = try #require(made)
        return ExportedSession.ClientFinished(
            keys: schedule.trafficKeys(.aes128GCM, secret: clientSecret),
            verifyData: schedule.verifyData(baseSecret: clientSecret, transcriptHash: digest))
    }

    static let clientHello = hex(
        """
        16030100c4010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7000006130113031302
        010000910000000b0009000006736572766572ff01000100000a00140012001d0017001800190100010101020103010400230000
        003300260024001d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d00
        20001e040305030603020308040805080604010501060102010402050206020202002d00020101001c00024001
        """)
    static let serverHello = hex(
        """
        160303005a020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e003300
        24001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304
        """)
    static let flight = hex(
        """
        17030302a2d1ff334a56f5bff6594a07cc87b580233f500f45e489e7f33af35edf7869fcf40aa40aa2b8ea73f848a7ca07612ef9
        f945cb960b4068905123ea78b111b429ba9191cd05d2a389280f526134aadc7fc78c4b729df828b5ecf7b13bd9aefb0e57f27158
        5b8ea9bb355c7c79020716cfb9b1183ef3ab20e37d57a6b9d7477609aee6e122a4cf51427325250c7d0e509289444c9b3a648f1d
        71035d2ed65b0e3cdd0cbae8bf2d0b227812cbb360987255cc744110c453baa4fcd610928d809810e4b7ed1a8fd991f06aa62482
        04797e36a6a73b70a2559c09ead686945ba246ab66e5edd8044b4c6de3fcf2a89441ac66272fd8fb330ef8190579b3684596c960
        bd596eea520a56a8d650f563aad27409960dca63d3e688611ea5e22f4415cf9538d51a200c27034272968a264ed6540c84838d89
        f72c24461aad6d26f59ecaba9acbbb317b66d902f4f292a36ac1b639c637ce343117b659622245317b49eeda0c6258f100d7d961
        ffb138647e92ea330faeea6dfa31c7a84dc3bd7e1b7a6c7178af36879018e3f252107f243d243dc7339d5684c8b0378bf30244da
        8c87c843f5e56eb4c5e8280a2b48052cf93b16499a66db7cca71e4599426f7d461e66f99882bd89fc50800becca62d6c74116dbd
        2972fda1fa80f85df881edbe5a37668936b335583b599186dc5c6918a396fa48a181d6b6fa4f9d62d513afbb992f2b992f67f8af
        e67f76913fa388cb5630c8ca01e0c65d11c66a1e2ac4c85977b7c7a6999bbf10dc35ae69f5515614636c0b9b68c19ed2e31c0b3b
        66763038ebba42f3b38edc0399f3a9f23faa63978c317fc9fa66a73f60f0504de93b5b845e275592c12335ee340bbc4fddd50278
        4016e4b3be7ef04dda49f4b440a30cb5d2af939828fd4ae3794e44f94df5a631ede42c1719bfdabf0253fe5175be898e750edc53
        370d2b
        """)

    static let firstHello = hex(
        """
        16030100b4010000b00303b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8cee9258a346677b6f000006130113031302
        010000810000000b0009000006736572766572ff01000100000a00080006001d00170018003300260024001d0020e8e8e3f3b93a
        25ed97a14a7dcacb8a272c6288e585c6484d05262fcad062ad1f002b0003020304000d0020001e04030503060302030804080508
        0604010501060102010402050206020202002d00020101001c00024001
        """)
    static let retry = hex(
        """
        16030300b0020000ac0303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c001301000084003300
        020017002c0074007271dcd04bb88bc3189119398a00000000eefafc76c146b823b096f8aacad365dd0030953f4edf625636e5f2
        1bb2e23fcc654b1b5b40318d10d137abcbb87574e36e8a1f025f7dfa5d6e50781b5eda4aa15b0c8be778257d16aa3030e9e7841d
        d9e4c0342267e8ca0caf571fb2b7cff0f934b0002b00020304
        """)
    /// With 175 bytes of padding, which are zero.
    static let secondHello =
        hex(
            """
            1603030200010001fc0303b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8cee9258a346677b6f000006130113031302
            010001cd0000000b0009000006736572766572ff01000100000a00080006001d001700180033004700450017004104a6da7392ec
            591e17abfd535964b99894d13befb221b3def2ebe3830eac8f0151812677c4d6d2237e85cf01d6910cfb83954e76ba7352830534
            159897e8065780002b0003020304000d0020001e040305030603020308040805080604010501060102010402050206020202002c
            0074007271dcd04bb88bc3189119398a00000000eefafc76c146b823b096f8aacad365dd0030953f4edf625636e5f21bb2e23fcc
            654b1b5b40318d10d137abcbb87574e36e8a1f025f7dfa5d6e50781b5eda4aa15b0c8be778257d16aa3030e9e7841dd9e4c03422
            67e8ca0caf571fb2b7cff0f934b0002d00020101001c00024001001500af
            """) + [UInt8](repeating: 0, count: 0xAF)
    static let serverHelloAfterRetry = hex(
        """
        160303007b020000770303bb341d847fd789c47c387172dc0c9bf147fccacb5043d86ca4c598d3ff571b9800130100004f003300
        450017004104583e054b7a66672ae020ad9d2686fcc85b5ad41a134a0f03ee72b893052bd85b4c8de6776f5b04ac07d83540eab3
        e3d9c547bc6528c4317d294686093a6cad7d002b00020304
        """)
    static let flightAfterRetry = hex(
        """
        170303029699bee20baf5b7fc727bfab6223928a381e6d0cf9c4da653f9d2a7b23f7de11cce842d5cf75631763450ffb8b0cc1d2
        38e658af7a12adc86243114ab14a1da2fae42621ce483fb6242eabfaad52566b02b31d2eddedefeb80e66a9900d5f973b40c4fdf
        74719ecf1b68d7f9c3b6ceb903ca13dd1bb8f8187ae33417e1d152522c5822a1a03ad52c838c55953d610222874cce8e1790b229
        a2aa0b53c8d377ee720182951dc6181dc5d90bd1f0105ed1e84aa5f75957c6661897079e5ea5007449e3197bdc7c9beeedddeafd
        d844afa5c315ecfe65e576afe909812880620ec7048b42d7f5c78d76f299d6d82534bdd8f512febc0ed3814aca470cd8000d3e1c
        b9962b052fbb950df683a52c2ba77ed3713b122937a6e5170964e2ab7969dcd980b3db9b458da7603124d6dc005e4d6e04b4d0c4
        baf3275db827dbba0a6db09672171fc057b3851d7e026841e2978fbd2346bbefdd0376bb1108fe9acc92189f5650aa5e85d8e8c7
        b67ac510dba003d3d7e16350bb66d45013efd44c9b607c0d318c4c7d1a1f5cbc57e20611804e3787d7b4a4b5f08ed8fd70bdaead
        e02260b12ab842ef690b4a3ee7911e841b374ecd5ebbbc2a54d047b600336dd7d0c88b4bc10e58ee6cb656de7247fa20d8e91deb
        84628608cf80615b62e96c1491c7ac3755eb6901405d3474fe1ac79d106a0cee56c2577fc88480f96cb6b8c681b7b68b53c14609
        3908f350888175bdfb0b1e31ad61e30ba0adfe6d223aa03c0783b5001a57587c328a9afcfcfb978d1cd4328f7d9d60530e630bef
        d96c0c816ee20b0100768ae2a6df51fc68f172740a79af11398ee3be1252491fa9c693479e877f94ab7c5f8cad480203e6ab7b87
        dd71e8a0729113df17f5eee86ce108d1d72007ec1cd13c85a6c149621e77b7d78d805a30f0be030c315e54
        """)
    static let clientFinishedAfterRetry = hex(
        """
        1703030035d74f1923c662fd34137c6f502f3dd2b93d951d1b3bc97e42afe23c31abea92fe91b474999e85e3b791ce252fe8c3e9
        f939a4120cb2
        """)
}
