/// Where the files of ACME stand in a key holder's state folder.
public enum StateLayout {
    /// - Parameter site: Its first domain. A wildcard's star is no character for paths in shells.
    public static func folder(of site: String, in state: String) -> String {
        "\(state)/sites/\(site.replacing("*", with: "_"))"
    }

    /// The chain, PEM.
    public static func chain(of site: String, in state: String) -> String {
        "\(Self.folder(of: site, in: state))/chain.pem"
    }

    /// The certificate's private key, PEM.
    public static func key(of site: String, in state: String) -> String {
        "\(Self.folder(of: site, in: state))/site.key"
    }
}
