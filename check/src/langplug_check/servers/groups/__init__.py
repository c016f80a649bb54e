"""The statements about servers, a file for each group: what is registered here is found by itself."""
