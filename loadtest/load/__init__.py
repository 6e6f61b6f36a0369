"""Load tests with Locust: scenarios against any deployment, every answer checked, Triton's own figures beside Locust's."""
