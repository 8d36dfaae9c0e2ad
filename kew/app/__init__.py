"""Services that drive the domain through ports. They know the domain and `ports`, never an adapter."""
