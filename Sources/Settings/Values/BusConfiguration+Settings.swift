public import FleetBus
internal import SecretFiles

extension BusConfiguration {
    /// What a file says of a fleet's bus, its passwords read.
    ///
    /// - Throws: `SecretFileError`.
    public init(_ settings: FleetSettings, clientName: String) throws {
        self.init(
            addresses: settings.redis.map(BusAddress.init), login: try settings.login.map { try Login($0) },
            sentinel: try settings.sentinel.map {
                Sentinel(primary: $0.primary, login: try $0.login.map { try Login($0) })
            },
            clientName: clientName)
    }
}

extension BusAddress {
    public init(_ address: FleetSettings.Address) {
        self.init(host: address.endpoint.host, port: address.endpoint.port, usesTLS: address.usesTLS)
    }
}

extension BusConfiguration.Login {
    /// Reads the password's file, of which white space at the end does not count.
    init(_ settings: FleetSettings.Login) throws {
        let text = try SecretFile.read(settings.password)
        let bytes = Array(text.utf8)
        let end = bytes.lastIndex { !($0 == 0x20 || (0x09...0x0D).contains($0)) }.map { $0 + 1 } ?? 0
        self.init(user: settings.user, password: Array(bytes[..<end]))
    }
}
