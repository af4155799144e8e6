"""A catalogue over several models: built part by part by Beam workers, published under one number."""
