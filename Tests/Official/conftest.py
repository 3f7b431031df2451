def pytest_configure(config):
    config.addinivalue_line("markers", "longfault: the long form, `make durability`")
